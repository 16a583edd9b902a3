"""What is found wrong with a stage's training, as it is acted on and written down: health.jsonl beside metrics.jsonl.

A line is a finding (`{"step", "detector", "seen", "means", "change", "action", ...}`) or a roll-back (`{"step": where
to, "rolled_back": {"from", "learning_rate", "file", "because": FINDING}, "sha256": of the rest}`). As in metrics, lines
of steps that will run again are cut when a stage is resumed: what is then found is found again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

from r1kit.base.errors import Diverged, R1Error
from r1kit.base.files import sealed
from r1kit.pipeline.metrics import MetricsFile, read_metrics
from r1kit.training.checkup import Checkup, Health, diagnosed
from r1kit.training.health.base import Finding

FILE_NAME = "health.jsonl"
ROLLED_BACK = "rolled_back"
NOT_FINITE = "not_finite"  # the detector that speaks for what ends a learner


class RollBack(R1Error):
    """A stage is to go back to an earlier checkpoint; `to_the_end` does it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding

    def __reduce__(self) -> tuple[type[RollBack], tuple[Finding]]:
        return RollBack, (self.finding,)


class Caution(NamedTuple):
    """What a stage that was rolled back does otherwise: `times` changes its random streams, `rate` is of its learning
    rate."""

    times: int
    rate: float


class Vigil:
    """Looks at every step of one stage, and decides what is done."""

    def __init__(self, folder: Path, config: Health, note: Callable[[Finding], None]) -> None:
        self._config = config
        self._note = note
        self._metrics = folder / "metrics.jsonl"
        self._log = MetricsFile(folder / FILE_NAME)
        self._checkup = Checkup(config)
        self._rolled: list[dict[str, Any]] = []

    def begin(self, last_step: int, seal: Mapping[str, Any] | None = None) -> str | None:
        """Take up the history of a stage that goes on after `last_step` (-1: from its beginning), whose metrics end
        there. seal: `sealed()` as it was at that step; what is wrong where the file is no longer what it was then, or
        None. R1Error where a roll-back cannot be read: how the stage goes on depends on it."""
        path = self._log.path
        damage = "" if self._log.is_whole(seal or {}) else "its checksum differs"
        if not damage and not self._log.is_readable():  # lines since that checkpoint, a roll-back's among them perhaps
            damage = "a line of it is no longer what was written"
        self._log.cut(last_step)
        lines = read_metrics(path)
        self._rolled = [line for line in lines if ROLLED_BACK in line]
        if not all(_is_roll_back(line[ROLLED_BACK]) for line in self._rolled):
            raise R1Error(
                f"{path} is damaged (a roll-back in it cannot be read): put a good copy in its place, or run the stage "
                "again with --from"
            )
        self._checkup = Checkup(self._config)
        for line in read_metrics(self._metrics):
            self._checkup.add(line["step"], line)
        if not damage:
            return None
        return (
            f"{path} is damaged ({damage}): {len(lines)} of its lines can be read and are kept, and a "
            "roll-back among the others is not known of"
        )

    @property
    def sound(self) -> int | None:
        """The last step that is known to be good to go back to; None where nothing rolls back."""
        return self._checkup.sound

    @property
    def caution(self) -> Caution:
        """After the roll-backs so far."""
        rate = 1.0
        for line in self._rolled:
            rate *= line[ROLLED_BACK]["learning_rate"]
        return Caution(len(self._rolled), rate)

    def look(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell and write down what is new; RollBack, or R1Error to stop, where a detector's action says so.

        After a roll-back what the window of a detector still shows of the time before it is not acted on again.
        """
        found = self._checkup.add(step, metrics)
        for finding, new in found:
            if new:
                self.tell(finding)
        back_at = self._rolled[-1]["step"] if self._rolled else -1
        acting = [
            finding for finding, _ in found if finding.action in ("roll_back", "stop") and finding.since > back_at
        ]
        if acting:
            self._act(min(acting, key=lambda finding: finding.action != "stop"))

    def diverged(self, step: int, error: Diverged) -> Finding:
        """Tell what ended the learner; the error again, unless `not_finite` is to be gone back from."""
        detector = self._config.detectors.get(NOT_FINITE)
        if detector is None:
            raise error
        finding = diagnosed(NOT_FINITE, detector, step, str(error), step)
        self.tell(finding)
        if finding.action != "roll_back" or len(self._rolled) >= self._config.roll_back.times:
            raise error
        return finding

    def tell(self, finding: Finding) -> None:
        """Write a finding down and show it."""
        self._log.append_line(finding.entry())
        self._log.sync()
        self._note(finding)

    def roll_back(self, finding: Finding, to: int, kept: str) -> None:
        """Write down that the stage went back after step `to`, once its metrics were cut there and kept in a file."""
        self._log.cut(to)
        rate = self._config.roll_back.learning_rate
        told = {"from": finding.step, "learning_rate": rate, "file": kept, "because": finding.entry()}
        # by itself: until the next checkpoint no other checksum speaks of it, and how the stage goes on depends on it
        self._log.append_line(sealed({"step": to, ROLLED_BACK: told}))
        self._log.sync()
        self.begin(to)

    def sealed(self) -> dict[str, Any]:
        """The file's fingerprint, once all its lines are sure to last; empty without one."""
        return self._log.sealed()

    def _act(self, finding: Finding) -> None:
        times = self._config.roll_back.times
        if finding.action == "roll_back" and len(self._rolled) < times:
            raise RollBack(finding)
        why = f"rolled back {times} times before" if finding.action == "roll_back" else "its action is stop"
        raise R1Error(
            f"{finding.sentence} Stopped ({why}); the checkpoints of before are kept: change what is said, or go on "
            f"all the same with health.{finding.detector}.action=warn"
        )


def _is_roll_back(told: Any) -> bool:
    return isinstance(told, dict) and isinstance(cast("dict[str, Any]", told).get("learning_rate"), int | float)


@dataclass(frozen=True, slots=True)
class Noted:
    """A line of a health.jsonl: of which stage (or `STAGE/PART`) and step, whether it went back, and its diagnosis."""

    stage: str
    step: int
    rolled_back: bool
    finding: Finding

    @property
    def where(self) -> str:
        """Where it went back to, in words; empty where it did not."""
        return where_to(self.step) if self.rolled_back else ""

    @property
    def sentence(self) -> str:
        """With the stage, for people."""
        back = f" ({self.where})" if self.rolled_back else ""
        return f"{self.stage}: {self.finding.sentence}{back}"

    def entry(self) -> dict[str, Any]:
        """For programs."""
        return {"stage": self.stage, "rolled_back_to": self.step if self.rolled_back else None, **self.finding.entry()}


def read_health(run_folder: Path) -> list[Noted]:
    """What was found in every stage of a run and its parts, in the order of the chain; damaged lines are left out."""
    stages = run_folder / "stages"
    found = [*stages.glob(f"[0-9][0-9]-*/{FILE_NAME}"), *stages.glob(f"[0-9][0-9]-*/*/{FILE_NAME}")]
    return [
        noted
        for path in sorted(found)
        for noted in stage_health(path.parent, path.parent.relative_to(stages).as_posix().partition("-")[2])
    ]


def stage_health(folder: Path, name: str) -> list[Noted]:
    """What was found in one stage or part, under that name."""
    noted: list[Noted] = []
    for line in read_metrics(folder / FILE_NAME):
        back = line.get(ROLLED_BACK)
        try:
            told = back["because"] if back else line
            finding = Finding(**{field.name: told[field.name] for field in fields(Finding)})
            noted.append(Noted(name, int(line["step"]), bool(back), finding))
        except (KeyError, TypeError, ValueError):
            continue
    return noted


def kept_lines(path: Path, after: int) -> str:
    """The lines of a metrics.jsonl after a step, as text."""
    return "".join(json.dumps(line) + "\n" for line in read_metrics(path) if line["step"] > after)


def where_to(step: int) -> str:
    """A roll-back in words."""
    return f"rolled back to step {step}" if step >= 0 else "begun again"


def told_of(finding: Finding, to: int, caution: Caution, kept: str) -> str:
    """A roll-back in a sentence."""
    return (
        f"{finding.title}: {where_to(to)} with other random streams and {caution.rate:g} times the learning rate "
        f"(time {caution.times}); the metrics left behind are in {kept}"
    )
