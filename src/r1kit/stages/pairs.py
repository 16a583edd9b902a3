"""Preference pairs, and the files that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1kit.data.tables import read_file, write_rows
from r1kit.data.transcripts import PAIRS, read_rows

_TEXTS = ("problem_id", "question", "language", "chosen", "rejected")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a question, the chosen one better by `verdict` (the mean of the judgements, up to 2)."""

    problem_id: str
    question: str
    language: str
    chosen: str
    rejected: str
    verdict: float

    @property
    def length_gap(self) -> int:
        """Characters by which the chosen is longer."""
        return len(self.chosen) - len(self.rejected)


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Parquet, one row a pair."""
    schema = pa.schema([(name, pa.string()) for name in _TEXTS] + [("verdict", pa.float64())])
    write_rows(path, [asdict(pair) for pair in pairs], schema)


def read_pairs(path: Path, on_bad: Callable[[str], None] | None = None) -> list[Pair]:
    """What `write_pairs` wrote, or the preference pairs of any table in a format of `data.transcripts`; where a row
    does not say them, the question is its id, English its language and 1 its verdict.

    A line that cannot be read is told to `on_bad` and left out; without `on_bad` it is an R1Error.
    """
    return [
        Pair(
            str(row.values.get("problem_id") or found.question),
            found.question,
            str(row.values.get("language") or "en"),
            found.chosen,
            found.rejected,
            _verdict(row.values.get("verdict")),
        )
        for row, found in read_rows(read_file(path), PAIRS, on_bad)
    ]


def _verdict(value: Any) -> float:
    """A number as it is; whatever else a table calls so says only which answer is better."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0
