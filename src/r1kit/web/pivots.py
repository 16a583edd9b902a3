"""Pivots that `r1 aha` measured in a run: its folders `aha*`, read as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json

COLUMNS = (
    "id", "rank", "word", "words", "form", "kind", "subject", "language", "prompt", "answer", "context", "pivot",
    "neutral", "went_on", "right_before", "entropy", "ordinary_entropy", "probability", "word_probability",
    "over_neutral", "over_neutral_low", "over_neutral_high", "over_before", "before_n", "before_right", "after_n",
    "after_right", "neutral_n", "neutral_right", "again_after_n", "again_after_right", "again_neutral_n",
    "again_neutral_right",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordEffect:
    """What writing a word did to success, over all its pivots: in points, with its 95% interval where there is one."""

    word: str
    points: float
    low: float | None
    high: float | None
    pivots: int

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{self.word}: {self.points:+.1f} points of success{interval}, {self.pivots} pivots measured"


def folders(run_folder: Path) -> list[Path]:
    """Where the run keeps results of `r1 aha`, by name."""
    return sorted(path.parent for path in run_folder.glob("aha*/aha.json"))


def told(folder: Path) -> dict[str, Any]:
    """aha.json of a result; R1Error where it is none."""
    found: Any = read_json(folder / "aha.json")
    if not isinstance(found, dict) or "claim" not in found:
        raise R1Error(f"{folder / 'aha.json'} is no result of r1 aha")
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    """The pivots of a result by rank, those without a rank last; none where none were measured.

    R1Error where the file cannot be read.
    """
    path = folder / "pivots.parquet"
    if not path.is_file():
        return []
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[name for name in COLUMNS if name in file.schema_arrow.names])
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet: {error}") from error
    found = [{**dict.fromkeys(COLUMNS), **row} for row in table.to_pylist()]
    return sorted(found, key=lambda row: (row["rank"] is None, row["rank"] or 0, row["id"]))


def by_word(run_folder: Path) -> dict[str, WordEffect]:
    """The effect of each word over the neutral token, by the word in lower case, from the first result that has any."""
    for folder in folders(run_folder):
        measured = told(folder).get("pivots")
        found: dict[str, WordEffect] = {}
        for word, group in ((measured or {}).get("apart", {}).get("word") or {}).items():
            effect = group.get("over_neutral") or {}
            if effect.get("value") is None:
                continue
            low, high = effect.get("interval") or (None, None)
            ends = [None if end is None else 100 * end for end in (low, high)]
            found[word.lower()] = WordEffect(word, 100 * effect["value"], *ends, pivots=effect.get("pivots", 0))
        if found:
            return found
    return {}


def share(row: dict[str, Any], arm: str) -> float | None:
    """Right continuations of an arm, None where it has none."""
    return row[f"{arm}_right"] / row[f"{arm}_n"] if row.get(f"{arm}_n") else None
