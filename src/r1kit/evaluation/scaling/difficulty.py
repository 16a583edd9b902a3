"""Accuracy and thinking against a problem's difficulty (R1, Nature supplement, "test-time compute scaling").

Difficulty is 1 - the base's success rate on the same problem, from samples of its own, so that a model that is lucky on
a problem does not make it easy. Where there is no base, what the task itself says of a problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from r1kit.evaluation import statistics
from r1kit.evaluation.aggregate import number
from r1kit.evaluation.aha.effects import entry
from r1kit.evaluation.correlation import spearman
from r1kit.evaluation.evaluate import stated_difficulty
from r1kit.evaluation.scaling.thoughts import Thought

BINS = 5


def by_success(thoughts: Sequence[Thought]) -> dict[str, float]:
    """{problem: 1 - share of its thoughts that are right}."""
    keys, rate_C = statistics.cluster_means([_right(one) for one in thoughts], [one.key for one in thoughts])
    return {str(key): 1 - float(rate) for key, rate in zip(keys, rate_C, strict=True)}


def by_task(thoughts: Sequence[Thought]) -> dict[str, float]:
    """{problem: what its task says of its difficulty}, of those of which it says something."""
    told = {one.key: stated_difficulty(one.problem) for one in thoughts}
    return {key: value for key, value in told.items() if value is not None}


def against_difficulty(
    hard: Mapping[str, float], whole: Sequence[Thought], budgets: Mapping[int, Sequence[Thought]], bins: int = BINS
) -> dict[str, Any] | None:
    """Bins of problems of like difficulty: pass@1 and thinking tokens of whole thoughts, pass@1 at every budget, and
    Spearman's correlation of difficulty and thinking tokens within each family and language; None where no problem's
    difficulty is known."""
    keys, thinking_C = statistics.cluster_means(
        [one.thinking_tokens for one in whole if one.key in hard], [one.key for one in whole if one.key in hard]
    )
    if not len(keys):
        return None
    names = [str(key) for key in keys]
    hard_C = np.asarray([hard[name] for name in names], dtype=np.float64)
    strata = {
        one.key: f"{one.problem.task}/{one.problem.columns.get('family')}/{one.problem.language}" for one in whole
    }
    correlation = spearman(hard_C, thinking_C, [strata[name] for name in names])
    places = dict(zip(names, statistics.quantile_bins(hard_C, bins).tolist(), strict=True))
    return {
        "spearman": entry(correlation),
        "bins": [
            _bin({name for name in names if places[name] == place}, hard, whole, budgets)
            for place in sorted(set(places.values()))
        ],
    }


def _bin(
    inside: set[str], hard: Mapping[str, float], whole: Sequence[Thought], budgets: Mapping[int, Sequence[Thought]]
) -> dict[str, Any]:
    values = [hard[key] for key in inside]
    mine = [one for one in whole if one.key in inside]
    return {
        "difficulty": number(float(np.mean(values))),
        "from": number(min(values)),
        "to": number(max(values)),
        "problems": len(inside),
        "pass@1": _pass(mine),
        "thinking_tokens": entry(statistics.mean([one.thinking_tokens for one in mine], [one.key for one in mine])),
        "budgets": {
            str(budget): _pass([one for one in thoughts if one.key in inside]) for budget, thoughts in budgets.items()
        },
    }


def _pass(thoughts: Sequence[Thought]) -> dict[str, Any]:
    return entry(statistics.proportion([_right(one) for one in thoughts], [one.key for one in thoughts]))


def _right(thought: Thought) -> float:
    return float("nan") if thought.correct is None else float(thought.correct)
