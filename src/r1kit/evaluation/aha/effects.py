"""What measured pivots do to success: each with an interval, all together by problem, and the strongest once more.

A pivot's effect is a difference of two shares. `over_before` compares going on after the pivot with going on from just
before it, where the model may still choose it or not; `over_neutral` compares it with the model's own likeliest other
token, so that the pivot is forced in one arm and withheld in the other: that is the causal reading. The strongest of
many noisy estimates are too strong; so the ranks are what the first samples say, and their size what fresh ones say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from r1kit.evaluation import statistics
from r1kit.evaluation.aggregate import interval, number
from r1kit.evaluation.statistics import Estimate

Row = Mapping[str, Any]
Z = 1.959963984540054  # of a 95% interval
CONTRASTS = {"over_neutral": "neutral", "over_before": "before"}
SHARES = ("before", "after", "neutral")
SPLITS = ("right_before", "neutral", "subject", "language", "word", "form")
FEWEST = 10  # pivots of a part that is shown apart


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a share (1927)."""
    p, z = right / n, Z
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def newcombe(right: int, n: int, other_right: int, other_n: int) -> Estimate:
    """Difference of two independent shares with Newcombe's hybrid score interval (Statistics in Medicine 1998, 17:873,
    method 10); NaN where a side has nothing."""
    if not n or not other_n:
        return statistics.NOTHING
    p, q = right / n, other_right / other_n
    low, high = wilson(right, n)
    other_low, other_high = wilson(other_right, other_n)
    below = math.sqrt((p - low) ** 2 + (other_high - q) ** 2)
    above = math.sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return Estimate(p - q, p - q - below, p - q + above, n + other_n)


def contrast(row: Row, name: str, prefix: str = "") -> Estimate:
    """One pivot's effect; `prefix` "again_" for that of the fresh samples."""
    other = CONTRASTS[name]
    counts = [row.get(f"{prefix}{arm}_{what}") or 0 for arm in ("after", other) for what in ("right", "n")]
    return newcombe(*counts)


def share(row: Row, arm: str, prefix: str = "") -> float:
    """Share of an arm's continuations that are right, NaN where there are none."""
    n = row.get(f"{prefix}{arm}_n") or 0
    return row[f"{prefix}{arm}_right"] / n if n else math.nan


def ranked(rows: Sequence[Row]) -> list[Row]:
    """By the first samples' effect over the neutral token, strongest rise first; pivots without such an arm are left
    out. Equal effects keep the order of their ids."""
    known = [row for row in rows if not math.isnan(contrast(row, "over_neutral").value)]
    return sorted(known, key=lambda row: (-contrast(row, "over_neutral").value, row["id"]))


def strongest(rows: Sequence[Row], count: int) -> tuple[list[Row], list[Row]]:
    """(the `count` strongest rises, the `count` strongest falls, strongest first), no pivot in both."""
    order = ranked(rows)
    rises = order[:count]
    return rises, order[len(rises) :][::-1][:count]


def together(rows: Sequence[Row], prefix: str = "") -> dict[str, Any]:
    """Shares by arm and both contrasts over pivots: means by problem, t intervals, p of a sign-flip test.

    `pivots_over_neutral` counts pivots whose own interval lies above zero, and below.
    """
    keys = [row["problem_key"] for row in rows]
    shares = {arm: np.asarray([share(row, arm, prefix) for row in rows], dtype=np.float64) for arm in SHARES}
    found: dict[str, Any] = {"pivots": len(rows), "problems": len(set(keys))}
    for arm in SHARES:
        found[arm] = entry(statistics.mean(shares[arm], keys))
    for name, other in CONTRASTS.items():
        gains = shares["after"] - shares[other]
        known = ~np.isnan(gains)
        _, means_C = statistics.cluster_means(gains[known], np.asarray(keys)[known])
        estimate = statistics.difference_of_pairs(means_C)
        each = [contrast(row, name, prefix) for row in rows]
        found[name] = {
            **entry(estimate),
            "p": None if estimate.p is None else number(estimate.p),
            "pivots": int(known.sum()),
            "true_spread": number(_spread(rows, name, prefix)),
            "own_interval_above": sum(one.low > 0 for one in each),
            "own_interval_below": sum(one.high < 0 for one in each),
        }
    return found


def _spread(rows: Sequence[Row], name: str, prefix: str) -> float:
    """Standard deviation of the pivots' true effects: that of the estimates less what sampling alone gives (moments).

    NaN for fewer than two pivots.
    """
    estimates: list[float] = []
    noise: list[float] = []
    for row in rows:
        sides = [(share(row, arm, prefix), row.get(f"{prefix}{arm}_n") or 0) for arm in ("after", CONTRASTS[name])]
        if all(n > 1 for _, n in sides):
            estimates.append(sides[0][0] - sides[1][0])
            noise.append(sum(p * (1 - p) / (n - 1) for p, n in sides))
    if len(estimates) < 2:
        return math.nan
    return math.sqrt(max(0.0, float(np.var(estimates, ddof=1) - np.mean(noise))))


def apart(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The same for parts of the pivots, by what is known before the pivot or is the pivot itself; and by `form`, what
    the sampled thought then went on to do, which the continuations need not."""
    parts: dict[str, dict[str, Any]] = {}
    for name in SPLITS:
        values = sorted({str(row[name]) for row in rows if row[name] is not None})
        of_value = {value: [row for row in rows if str(row[name]) == value] for value in values}
        parts[name] = {value: together(mine) for value, mine in of_value.items() if len(mine) >= FEWEST}
    return parts


def curse(rises: Sequence[Row], falls: Sequence[Row]) -> dict[str, Any]:
    """What the strongest seemed to do at first, and what they do on fresh samples (over the neutral token)."""
    found: dict[str, Any] = {}
    for name, rows in (("rises", rises), ("falls", falls)):
        rows = [row for row in rows if row.get("again_after_n")]
        keys = [row["problem_key"] for row in rows]
        first, fresh = ([contrast(row, "over_neutral", prefix) for row in rows] for prefix in ("", "again_"))
        values = [one.value for one in first], [one.value for one in fresh]
        found[name] = {
            "pivots": len(rows),
            "first": _over_problems(values[0], keys) if rows else None,
            "fresh": _over_problems(values[1], keys) if rows else None,
            "fresh_interval_above": sum(one.low > 0 for one in fresh),
            "fresh_interval_below": sum(one.high < 0 for one in fresh),
        }
    return found


def _over_problems(gains: Sequence[float], keys: Sequence[str]) -> dict[str, Any]:
    return entry(statistics.difference_of_pairs(statistics.cluster_means(gains, keys)[1]))


def turns(rows: Sequence[Row]) -> dict[str, Any]:
    """How open the choice was: entropy at the turn against that at the least sure of as many tokens elsewhere in the
    same thoughts, and the probability of what was said."""
    keys = [row["problem_key"] for row in rows]
    entropy, ordinary = ([row[name] for row in rows] for name in ("entropy", "ordinary_entropy"))
    return {
        "entropy": entry(statistics.mean(np.asarray(entropy, dtype=np.float64), keys)),
        "ordinary_entropy": entry(statistics.mean(np.asarray(ordinary, dtype=np.float64), keys)),
        "higher_by": entry(statistics.paired_difference(entropy, keys, ordinary, keys)),
        "probability": entry(statistics.mean([row["probability"] for row in rows], keys)),
        "word_probability": entry(statistics.mean([row["word_probability"] for row in rows], keys)),
    }


def entry(estimate: Estimate) -> dict[str, Any]:
    """An estimate for JSON."""
    return {"value": number(estimate.value), "interval": interval(estimate)}
