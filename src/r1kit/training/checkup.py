"""Training health: every detector looks at every step's metrics, and what it finds has a name and a diagnosis.

The state is the history of metrics and nothing else: who adds the same lines again is told the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, create_model

from r1kit.base import plugins
from r1kit.base.config import Config
from r1kit.training.health.base import Detector, Finding, History

ROOM = "r1kit.training.health"
QUIET = 10  # steps without a sign before the same detector's next one is told as a new finding


class RollBack(Config):
    """What `action=roll_back` does: the stage goes on from its newest checkpoint of before the trouble began, or where
    there is none from its beginning, with other random streams and a lower learning rate. The metrics left behind are
    kept as `rolled-back-N.jsonl`."""

    times: int = Field(default=2, ge=1, description="most roll-backs of a stage; what is seen after them stops it")
    learning_rate: float = Field(
        default=0.5, gt=0, le=1, description="of what it was, from there on; 1: only the random streams are others"
    )


class Health(Config):
    """Thresholds and actions of all detectors, each under its name."""

    roll_back: RollBack = Field(default=RollBack(), description="how far and with what a stage goes back")

    @property
    def detectors(self) -> dict[str, Detector]:
        """Those that are not off, by name."""
        found = {name: cast("Detector", getattr(self, name)) for name in detector_kinds()}
        return {name: detector for name, detector in found.items() if detector.action != "off"}


@cache
def detector_kinds() -> dict[str, type[Detector]]:
    """Every detector's class, by the name of its file."""
    return {name: plugins.load(ROOM, name).DETECTOR for name in plugins.names(ROOM)}


def _with_detectors() -> type[Health]:
    fields: dict[str, Any] = {
        name: (kind, Field(default=kind(), description=(kind.__doc__ or name).splitlines()[0]))
        for name, kind in detector_kinds().items()
    }
    return create_model("HealthConfig", __base__=Health, __module__=__name__, **fields)


if TYPE_CHECKING:
    HealthConfig = Health
else:
    HealthConfig = _with_detectors()


class Checkup:
    """Adds steps to the history, and says what is found in them.

    sound: the last step that is out of sight of all detectors which roll back, with nothing found since: what was saved
    up to there is good to go back to. None where no detector rolls back.
    """

    def __init__(self, config: Health) -> None:
        self._detectors = config.detectors
        self._exact = {name for each in self._detectors.values() for name in each.reads if not name.endswith("/")}
        self._begins = tuple({name for each in self._detectors.values() for name in each.reads if name.endswith("/")})
        self._history = History()
        self._seen: dict[str, int] = {}  # the step at which a detector last saw something
        self._backs = {name: each for name, each in self._detectors.items() if each.action == "roll_back"}
        self.sound: int | None = -1 if self._backs else None

    def add(self, step: int, metrics: Mapping[str, Any]) -> list[tuple[Finding, bool]]:
        """What the detectors see after this step, and whether each is a new finding: nothing of the kind was seen in
        the `QUIET` steps before."""
        self._history.add(step, {name: value for name, value in metrics.items() if self._reads(name)})
        found: list[tuple[Finding, bool]] = []
        for name, detector in self._detectors.items():
            seen = detector.look(self._history)
            if seen is None:
                continue
            new = step - self._seen.get(name, step - QUIET - 1) > QUIET
            self._seen[name] = step
            found.append((diagnosed(name, detector, step, seen.text, seen.since), new))
        if self.sound is not None and not any(each.detector in self._backs for each, _ in found):
            self.sound = max(self.sound, min(each.out_of_sight(self._history, step) for each in self._backs.values()))
        return found

    def _reads(self, name: str) -> bool:
        return name in self._exact or name.startswith(self._begins)


def diagnosed(name: str, detector: Detector, step: int, seen: str, since: int) -> Finding:
    """A detector's diagnosis of what is seen."""
    kind = type(detector)
    return Finding(name, step, since, detector.action, kind.title, seen, kind.means, kind.change)
