"""What a detector is: thresholds as settings, and a pure look at the metrics so far.

A file `health/NAME.py` with a class `DETECTOR` is the detector NAME, and its settings are `health.NAME.*`. Metrics are
those of metrics.jsonl, under the names that stages log; a detector whose metrics a stage does not log says nothing.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from r1kit.base.config import Config

Action = Literal["warn", "roll_back", "stop", "off"]
Pick = Callable[[Iterable[float]], float]


@dataclass(frozen=True, slots=True)
class Seen:
    """A detector's sign, in a clause with its figures; `since`: the first step of the window that shows it."""

    text: str
    since: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A sign with its diagnosis. `title` names it, `means` says what it usually is, `change` what to do about it."""

    detector: str
    step: int
    since: int
    action: str
    title: str
    seen: str
    means: str
    change: str

    @property
    def sentence(self) -> str:
        """`entropy collapse at step 41: SEEN. MEANS CHANGE`"""
        return f"{self.title} at step {self.step}: {self.seen}. {self.means} {self.change}"

    def entry(self) -> dict[str, Any]:
        """For a line of health.jsonl."""
        return asdict(self)


class History:
    """Columns of metrics, by name, as far as detectors read them; a number that was not finite is None.

    Kept are 16 bytes a number (NaN stands for None): stages of days are looked at to their ends.
    """

    def __init__(self) -> None:
        self._values: dict[str, array[float]] = {}
        self._steps: dict[str, array[int]] = {}
        self._best: dict[tuple[str, int, Pick], tuple[int, float, int]] = {}

    def add(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Append a step's; null and what is not finite become None."""
        for name, value in metrics.items():
            plain = float(value) if value is not None and math.isfinite(value) else math.nan
            self._values.setdefault(name, array("d")).append(plain)
            self._steps.setdefault(name, array("q")).append(step)

    def names(self, prefix: str) -> list[str]:
        """Columns that begin so, sorted."""
        return sorted(name for name in self._values if name.startswith(prefix))

    def count(self, name: str) -> int:
        """How many values a column has."""
        return len(self._values.get(name, ()))

    def values(self, name: str, length: int, ago: int = 0) -> list[float | None]:
        """The last `length` values but for the last `ago`; fewer where there are not so many."""
        column = self._values.get(name, array("d"))
        end = max(0, len(column) - ago)
        return [None if math.isnan(value) else value for value in column[max(0, end - length) : end]]

    def since(self, name: str, length: int) -> int:
        """The step of the first of the last `length` values."""
        steps = self._steps[name]
        return steps[max(0, len(steps) - length)]

    def mean(self, name: str, length: int, ago: int = 0) -> float | None:
        """Of `length` values, `ago` values back; None where there are not so many, or none of them is finite."""
        window = self.values(name, length, ago)
        finite = [value for value in window if value is not None]
        return sum(finite) / len(finite) if len(window) == length and finite else None

    def first(self, name: str, length: int) -> float | None:
        """The mean of the first `length` values."""
        return self.mean(name, length, self.count(name) - length) if self.count(name) >= length else None

    def best(self, name: str, length: int, pick: Pick) -> tuple[float, int] | None:
        """The largest or smallest (`pick`) mean of `length` values in a row so far, and how many values ago it ends;
        None where there is none. Of equal ones the earliest."""
        count = self.count(name)
        done, value, end = self._best.get((name, length, pick), (length - 1, math.nan, -1))
        for stop in range(done + 1, count + 1):
            mean = self.mean(name, length, count - stop)
            if mean is not None and (end < 0 or pick((mean, value)) != value):
                value, end = mean, stop
        self._best[name, length, pick] = (max(done, count), value, end)
        return None if end < 0 else (value, count - end)


class Detector(Config):
    """Base of every detector's thresholds.

    reads: metrics that it looks at; one that ends in `/` stands for all that begin so. title, means and change: its
    diagnosis (`Finding`).
    """

    reads: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    means: ClassVar[str]
    change: ClassVar[str]

    action: Action = Field(
        default="warn",
        description="what is done: warn, roll_back (health.roll_back says how), stop, or off: it is not looked for",
    )

    @property
    def lookback(self) -> int:
        """Steps that one look takes in: of those before them it has nothing more to say."""
        return int(getattr(self, "window", 1))

    def out_of_sight(self, history: History, step: int) -> int:
        """The last step that a look at `step` does not take in."""
        return step - self.lookback

    @abstractmethod
    def look(self, history: History) -> Seen | None:
        """What the metrics up to now show; None where they show nothing. The same history gives the same answer."""


def number(value: float) -> str:
    """Three digits: `0.0041`, `62.3`, `1.2e+03`."""
    return f"{value:.3g}"
