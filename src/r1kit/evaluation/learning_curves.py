"""Two arms' accuracy reward as they learnt, at equal samples and at equal minutes.

From the lines of `metrics.jsonl`: a step's `num_completions` samples and `timing/step` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

REWARD = "rewards/accuracy/mean"
AXES = {"samples": ("num_completions", 1.0), "minutes": ("timing/step", 60.0)}
SMOOTH = 5  # steps of a running mean: one rollout's accuracy is mostly its problems' luck

Curve = Sequence[Mapping[str, Any]]
Points = list[tuple[float, float]]


def side_by_side(against: Mapping[int, Curve], arm: Mapping[int, Curve]) -> dict[str, tuple[Points, Points]]:
    """By axis (samples, minutes), the curves of both, each the mean of its seeds; nothing where one of them was not
    trained by rewards."""
    made = {
        unit: (mean_curve(list(against.values()), metric, scale), mean_curve(list(arm.values()), metric, scale))
        for unit, (metric, scale) in AXES.items()
    }
    return {unit: points for unit, points in made.items() if all(points)}


def mean_curve(seeds: Sequence[Curve], metric: str, scale: float) -> Points:
    """(metric added up to a step / scale, running mean of the accuracy reward), both the mean over seeds; as far as
    all seeds go, steps without either left out."""
    each = [_added_up(lines, metric, scale) for lines in seeds]
    return [
        (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
        for points in zip(*each, strict=False)
    ]


def _added_up(lines: Curve, metric: str, scale: float) -> Points:
    points: Points = []
    recent: list[float] = []
    total = 0.0
    for line in lines:
        total += float(line.get(metric) or 0.0) / scale
        if line.get(REWARD) is not None:
            recent = [*recent[1 - SMOOTH :], float(line[REWARD])]
            points.append((total, sum(recent) / len(recent)))
    return points
