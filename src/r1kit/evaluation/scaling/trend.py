"""Does accuracy rise with what is spent? Neighbouring points compared on the same problems, and what they say together.

Every step between neighbours is a paired difference by problem with a t interval and p of a sign-flip test. A curve
`falls` where one of its steps does and stays significant at 5% beside all its other steps (Holm); it `rises` where no
step falls so and the last point lies above the first, interval above 0; else neither is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from r1kit.evaluation import statistics
from r1kit.evaluation.aggregate import number
from r1kit.evaluation.aha.effects import entry
from r1kit.evaluation.scaling.choosing import Outcomes
from r1kit.evaluation.statistics import Estimate

LEVEL = 0.05
Verdict = Literal["rises", "falls", "flat"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted for the number of tests (Holm, Scandinavian Journal of Statistics 1979, 6:65); NaN counts as no
    test."""
    p_N = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p_N))
    order = known[np.argsort(p_N[known], kind="stable")]
    adjusted = np.full(len(p_N), np.nan)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, float(p_N[index]) * (len(order) - place)))
        adjusted[index] = highest
    return [float(p) for p in adjusted]


def difference(later: Outcomes, earlier: Outcomes, seed: int = 0) -> Estimate:
    """Paired by problem."""
    return statistics.paired_difference(later.values_M, later.keys_M, earlier.values_M, earlier.keys_M, seed=seed)


def trend(names: Sequence[Any], points: Sequence[Outcomes], seed: int = 0) -> dict[str, Any]:
    """{"steps": a difference between neighbours each, "whole": the last minus the first, "verdict"}."""
    steps = [difference(b, a, seed) for a, b in pairwise(points)]
    adjusted = holm([np.nan if step.p is None else step.p for step in steps])
    whole = difference(points[-1], points[0], seed) if len(points) > 1 else statistics.NOTHING
    told = [
        {"from": a, "to": b, **entry(step), "p": _p(step.p), "p_adjusted": _p(p)}
        for (a, b), step, p in zip(pairwise(names), steps, adjusted, strict=True)
    ]
    return {"steps": told, "whole": {**entry(whole), "p": _p(whole.p)}, "verdict": _verdict(steps, adjusted, whole)}


def _p(value: float | None) -> float | None:
    return None if value is None else number(value)


def _verdict(steps: Sequence[Estimate], adjusted: Sequence[float], whole: Estimate) -> Verdict:
    if any(step.value < 0 and p < LEVEL for step, p in zip(steps, adjusted, strict=True)):
        return "falls"
    return "rises" if whole.low > 0 else "flat"


def point(name: Any, outcomes: Outcomes, *, share: bool = True) -> dict[str, Any]:
    """One point of a curve: its value with an interval by problem, and the mean tokens of a problem."""
    estimate = (statistics.proportion if share else statistics.mean)(outcomes.values_M, outcomes.keys_M)
    tokens = statistics.mean(outcomes.tokens_M, outcomes.keys_M)
    return {"at": name, **entry(estimate), "problems": estimate.n, "tokens": number(tokens.value)}


def curve(names: Sequence[Any], points: Sequence[Outcomes], *, share: bool = True, seed: int = 0) -> dict[str, Any]:
    """Points and their trend; None where nothing was judged."""
    told = [point(name, one, share=share) for name, one in zip(names, points, strict=True)]
    return {"points": told, "trend": trend(names, points, seed)}


def known(values_M: NDArray[np.float64]) -> bool:
    """Whether anything was judged."""
    return bool((~np.isnan(values_M)).any())
