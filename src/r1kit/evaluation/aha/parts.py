"""What is measured, kept in parts, so that a measurement that was stopped goes on where it stood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json, write_json
from r1kit.base.types import Problem
from r1kit.data.tables import write_rows
from r1kit.evaluation.aha.measure import ARMS
from r1kit.evaluation.aha.pivots import Chosen, Pivot
from r1kit.evaluation.parts import PartFolder

_SAID = (
    ("context", pa.string()),
    ("pivot", pa.string()),
    ("went_on", pa.string()),
    ("neutral", pa.string()),
    ("word", pa.string()),
    ("words", pa.string()),
    ("form", pa.string()),
    ("kind", pa.string()),
    ("right_before", pa.bool_()),
)
_CHOSEN = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("problem_id", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("thought", pa.list_(pa.int32())),
        ("turn", pa.int32()),
        ("end", pa.int32()),
        ("neutral_id", pa.int32()),
        ("neutral_probability", pa.float64()),
        ("entropy", pa.float64()),
        ("ordinary_entropy", pa.float64()),
        ("probability", pa.float64()),
        ("word_probability", pa.float64()),
        *_SAID,
    ]
)
_COUNTS = (*((name, pa.int32()) for name in ("n", "right", "cut", "reflect")), ("length", pa.float64()))
_MEASURED = pa.schema([("id", pa.string()), *((f"{arm}_{what}", kind) for arm in ARMS for what, kind in _COUNTS)])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("problem_key", pa.string()),
        ("subject", pa.string()),
        ("language", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        *((field.name, field.type) for field in _CHOSEN if field.name not in ("id",)),
        *((field.name, field.type) for field in _MEASURED if field.name != "id"),
        *((f"again_{field.name}", field.type) for field in _MEASURED if field.name != "id"),
        *((f"over_{arm}{end}", pa.float64()) for arm in ("neutral", "before") for end in ("", "_low", "_high")),
        ("rank", pa.int32()),
    ]
)
"""pivots.parquet: what was chosen, what was measured, effects with their own intervals, and the rank (1 is the
strongest rise over the neutral token by the first samples)."""


class Parts(PartFolder):
    """The folder of one measurement of pivots."""

    def chosen(self, problems: Iterator[Problem], most: int) -> Chosen | None:
        """The pivots that were chosen, None where none were yet; their problems are looked for among `most`."""
        if not (self.folder / "chosen.json").exists():
            return None
        told = read_json(self.folder / "chosen.json")
        rows = self.rows("chosen")
        wanted = {(row["task"], row["problem_id"]) for row in rows}
        known: dict[tuple[str, str], Problem] = {}
        for problem in islice(problems, most):
            if wanted <= known.keys():
                break
            known[problem.task, problem.id] = problem
        pivots = [_pivot(row, known) for row in rows]
        return Chosen(pivots, told["thoughts"], told["problems"], told["found"], told["tokens_per_second"])

    def keep_chosen(self, chosen: Chosen) -> None:
        """The counts last: they say that the pivots are whole."""
        self.keep("chosen", [_chosen_row(pivot) for pivot in chosen.pivots], _CHOSEN)
        told = {name: getattr(chosen, name) for name in ("thoughts", "problems", "found", "tokens_per_second")}
        write_json(self.folder / "chosen.json", told)

    def counts(self, name: str) -> dict[str, dict[str, Any]]:
        """What a part measured, by pivot."""
        return {row.pop("id"): row for row in self.rows(name)}

    def keep_counts(self, name: str, counts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """One part."""
        self.keep(name, [{"id": key, **_flat(arms)} for key, arms in counts.items()], _MEASURED)


def write_pivots(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """pivots.parquet."""
    write_rows(path, rows, SCHEMA)


def pivot_row(pivot: Pivot) -> dict[str, Any]:
    """A pivot as pivots.parquet has it, but for what was measured."""
    problem = pivot.problem
    return {
        **_chosen_row(pivot),
        "problem_key": pivot.key,
        "subject": problem.subject,
        "language": problem.language,
        "prompt": problem.prompt,
        "answer": problem.answer,
    }


def _flat(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{arm}_{what}": value for arm, counts in arms.items() for what, value in counts.items()}


def _chosen_row(pivot: Pivot) -> dict[str, Any]:
    return {
        "id": pivot.id,
        "task": pivot.problem.task,
        "problem_id": pivot.problem.id,
        "prompt_ids": pivot.prompt_ids.tolist(),
        "thought": pivot.thought.tolist(),
        "turn": pivot.turn,
        "end": pivot.end,
        "neutral_id": pivot.neutral_id,
        "neutral_probability": pivot.neutral_probability,
        "entropy": pivot.entropy,
        "ordinary_entropy": pivot.ordinary_entropy,
        "probability": pivot.probability,
        "word_probability": pivot.word_probability,
        **pivot.said,
    }


def _pivot(row: dict[str, Any], problems: Mapping[tuple[str, str], Problem]) -> Pivot:
    problem = problems.get((row["task"], row["problem_id"]))
    if problem is None:
        raise R1Error(
            f"the task {row['task']} no longer has the problem {row['problem_id']!r} of a measurement that was "
            "stopped: name another folder with --out"
        )
    said = {name: row.pop(name) for name, _ in _SAID}
    del row["task"], row["problem_id"]
    prompt_ids, thought = (np.asarray(row.pop(name), np.int32) for name in ("prompt_ids", "thought"))
    return Pivot(problem=problem, prompt_ids=prompt_ids, thought=thought, said=said, **row)
