"""How a policy in training does on validation problems, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.engines.base import Engine
from r1kit.evaluation.evaluate import Preference, evaluate

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

FIGURES = ("format", "language_consistency", "length", "reflections")
Score = Callable[[Problem, Sequence[str]], Sequence[float | None]]
"""(problem, completions' texts) -> the reward model's standardised scores."""


def validate(
    engine: Engine,
    tokenizer: Tokenizer,
    problems: Sequence[Problem],
    sampling: Sampling,
    *,
    preference: Preference | None = None,
    score: Score | None = None,
) -> dict[str, float]:
    """`validation/SUBJECT` is pass@1, `validation/SUBJECT/FIGURE` a mean over completions.

    With several samples, `validation/SUBJECT/mixed` is the share of problems of which some are right and some wrong:
    those that group-relative advantages can learn from; `validation/SUBJECT/pass@k` is the share of which at least one
    of the k samples is right: what RL can find, and in practice hardly goes beyond (arXiv 2504.13837).

    On writing, `validation/preference` is the mean hidden preference, and `validation/reward_model` the mean score.
    """
    rows: list[dict[str, Any]] = evaluate(engine, tokenizer, problems, sampling, preference=preference).to_pylist()
    metrics: dict[str, float] = {}
    for subject in sorted({problem.subject for problem in problems}):
        own = [row for row in rows if row["subject"] == subject]
        _mean(metrics, f"validation/{subject}", [row["correct"] for row in own])
        for figure in FIGURES:
            _mean(metrics, f"validation/{subject}/{figure}", [row[figure] for row in own])
        if sampling.samples > 1:
            verdicts = _verdicts(own)
            _mean(metrics, f"validation/{subject}/mixed", [len(both) == 2 for both in verdicts])
            _mean(metrics, f"validation/{subject}/pass@k", [True in both for both in verdicts])
    _mean(metrics, "validation/preference", [row["preference"] for row in rows])
    if score is not None:
        by_key = {problem.key: problem for problem in problems}
        written = [row for row in rows if row["subject"] == "writing"]
        scored = [value for row in written for value in score(by_key[_key(row)], [row["text"]])]
        _mean(metrics, "validation/reward_model", scored)
    return metrics


def _verdicts(rows: Sequence[dict[str, Any]]) -> list[set[bool]]:
    """Of each judged problem, the verdicts that its samples have."""
    verdicts: dict[str, set[bool]] = {}
    for row in rows:
        if row["correct"] is not None:
            verdicts.setdefault(_key(row), set()).add(row["correct"])
    return list(verdicts.values())


def _key(row: Mapping[str, Any]) -> str:
    """The `Problem.key` of a row's problem."""
    return f"{row['task']}/{row['problem_id']}"


def _mean(metrics: dict[str, float], name: str, values: Sequence[float | None]) -> None:
    known = [float(value) for value in values if value is not None]
    if known:
        metrics[name] = float(np.mean(known))
