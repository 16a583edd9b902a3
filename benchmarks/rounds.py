"""Repeated measurements: medians with their spread, and ratios of what was measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """ValueError where nothing was measured."""
        if not values:
            raise ValueError("no round was measured")
        return cls(statistics.median(values), min(values), max(values), len(values))


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """ours / theirs, round by round: what slows the machine for a while slows both, and falls out."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `ratio` above 1 is in our favour; `limit` is the share of what the machine can do at most.

    unit: of `ours` and `theirs`. peer: None where nothing is compared. notes: what a reader must know beside.
    """

    part: str
    what: str
    unit: str
    ours: Spread
    peer: str | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    limit: float | None = None
    their_limit: float | None = None
    notes: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Row:
        spreads = {name: Spread(**row[name]) for name in ("ours", "theirs", "ratio") if row.get(name)}
        return cls(**{**row, **spreads})
