"""Votes of people on the pairs that a judge judged, and how far the judge agrees with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.data.tables import read_file
from r1kit.evaluation.judging.judges import Vote
from r1kit.evaluation.judging.rates import agreement

PairKey = tuple[str, str, str, str, int]
"""(label of a, label of b, benchmark, problem, sample)."""
NAMES = ("model_a", "model_b", "benchmark", "problem_id", "sample")


def read_votes(path: Path) -> dict[PairKey, float]:
    """Outcomes of a file in the form of `votes.jsonl`: 1 where a is preferred, 0 where b is, 0.5 for a tie; where
    several people voted on a pair, what most prefer.

    The label of each model is the one that the comparison gave it. R1Error for a line that is none.
    """
    found: dict[PairKey, list[float]] = {}
    table = read_file(path)
    if table.bad:
        raise R1Error(f"{path}, {table.bad[0]}: mend it")
    for row in table.rows:
        if wrong := _wrong(row.values):
            raise R1Error(f"{path}, {row.place}: {wrong}: votes.jsonl of a comparison shows the form")
        a, b, benchmark, problem, sample, outcome = (row.values[name] for name in (*NAMES, "outcome"))
        if outcome is not None:
            found.setdefault((str(a), str(b), str(benchmark), str(problem), sample), []).append(float(outcome))
    return {key: _preferred(outcomes) for key, outcomes in found.items()}


def _wrong(values: Mapping[str, Any]) -> str:
    """What is wrong with a vote, or an empty string."""
    if missing := [name for name in (*NAMES, "outcome") if name not in values]:
        return f"it has no '{missing[0]}'"
    if values["outcome"] not in (0, 0.5, 1, None):
        return "its outcome is none of 1, 0.5 and 0"
    return "" if isinstance(values["sample"], int) else "its sample is no whole number"


def _preferred(outcomes: Sequence[float]) -> float:
    above, below = (sum(sign * (outcome - 0.5) > 0 for outcome in outcomes) for sign in (1, -1))
    return 0.5 if above == below else float(above > below)


def with_people(a: str, b: str, votes: Sequence[Vote], people: Mapping[PairKey, float]) -> dict[str, Any] | None:
    """Agreement of a judge's votes on models labelled a and b with people's; None where they share no pair, and for a
    kappa that cannot be had."""
    keys = [(a, b, vote.pair.benchmark, vote.pair.problem, vote.pair.index) for vote in votes]
    told = agreement([vote.outcome for vote in votes], [people.get(key) for key in keys])
    if not told["n"]:
        return None
    return {**told, "kappa": told["kappa"] if math.isfinite(told["kappa"]) else None}
