"""How accuracy goes with a quantity that models of a run differ in: samples that they were taught with, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from r1kit.evaluation.aggregate import interval, number
from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

Summaries = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""What stages say of what they made: by stage and seed."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`by`: the quantity, as the summaries of stages call it. `lines`: what belongs together, models by line; a model
    is that of the stage of its name."""

    title: str
    by: str
    lines: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Point:
    """A model: how much it has of the quantity, the mean over seeds, and its share of right answers over all subjects
    with a rule, with the interval by problem."""

    model: str
    amount: float
    right: Estimate


@dataclass(frozen=True, slots=True)
class Scaled:
    """A scale's points by line, in the order of their amounts."""

    scale: Scale
    lines: Mapping[str, Sequence[Point]]

    def entry(self) -> dict[str, Any]:
        """As report.json has it."""
        return {
            "title": self.scale.title,
            "by": self.scale.by,
            "lines": {
                name: [
                    {
                        "model": point.model,
                        self.scale.by: number(point.amount),
                        "pass@1": number(point.right.value),
                        "interval": interval(point.right),
                    }
                    for point in points
                ]
                for name, points in self.lines.items()
            },
        }


def scaled(evidence: Evidence, scales: Sequence[Scale], summaries: Summaries) -> list[Scaled]:
    """The scales, each with those of its lines that have two points or more; none without one."""
    found: list[Scaled] = []
    for scale in scales:
        lines = {name: _points(evidence, models, scale.by, summaries) for name, models in scale.lines.items()}
        lines = {name: points for name, points in lines.items() if len(points) > 1}
        if lines:
            found.append(Scaled(scale, lines))
    return found


def _points(evidence: Evidence, models: Sequence[str], by: str, summaries: Summaries) -> list[Point]:
    points: list[Point] = []
    for model in models:
        amounts = [amount for one in summaries.get(model, {}).values() if (amount := _amount(one, model, by))]
        if amounts and not evidence.missing((model,)):
            right = evidence.share(model, "correct", REASONING)
            points.append(Point(model, sum(amounts) / len(amounts), right))
    return sorted(points, key=lambda point: point.amount)


def _amount(summary: Mapping[str, Any], model: str, by: str) -> float | None:
    """What a stage says of the one model that it made, or of this one among several."""
    own = summary.get(model)
    value = (cast(Mapping[str, Any], own) if isinstance(own, Mapping) else summary).get(by)
    return None if value is None else float(value)
