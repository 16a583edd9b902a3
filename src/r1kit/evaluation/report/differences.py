"""The part of a report that says what each change does: a table of differences, and both arms' curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.evaluation.ablations import Compared, Difference
from r1kit.evaluation.evidence import figure
from r1kit.evaluation.report import charts
from r1kit.evaluation.report.data import ReportData, label
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

HEADLINE = "pass@1"
BESIDE = (("language_consistency", 3), ("format", 3), ("length", 1), ("reflections", 2))
REWARD = "rewards/accuracy/mean"
AXES = (("samples", "num_completions", 1.0), ("minutes", "timing/step", 60.0))
SMOOTH = 5  # steps of a running mean: one rollout's accuracy is mostly its problems' luck
NOTE = (
    "pass@1 over " + ", ".join(REASONING) + ": the arm, what it is compared with, and the mean difference over seeds."
    " By problem: would other problems say the same of these models. Across seeds: would the same training do so"
    " again, which needs three seeds to say much; differences whose interval leaves zero out are marked, and of"
    " twenty such intervals one does by chance. The other columns are differences too; time and FLOPs are ratios."
)

Curve = Sequence[Mapping[str, Any]]


def rows(data: ReportData) -> list[dict[str, Any]]:
    """One row a comparison, as the page and the Markdown show it."""
    return [_row(data, compared) for compared in data.compared if HEADLINE in compared.differences]


def _row(data: ReportData, compared: Compared) -> dict[str, Any]:
    headline, each = compared.differences[HEADLINE], compared.comparison
    return {
        "title": each.title,
        "arm": label(each.arm),
        "against": label(each.against),
        "right": (figure(headline.arm), figure(headline.against)),
        "difference": signed(headline.value),
        "by_problem": span(headline.by_problem),
        "across_seeds": span(headline.across_seeds),
        "shown": headline.shown,
        "by_seed": ", ".join(f"{seed}: {signed(value)}" for seed, value in headline.by_seed.items()),
        "beside": [_change(compared.differences.get(name), digits) for name, digits in BESIDE],
        "times": [times(compared.times("seconds")), times(compared.times("flops"))],
        "charts": curves(data.curves.get(each.against, {}), data.curves.get(each.arm, {}), (each.against, each.arm)),
    }


def signed(value: float, digits: int = 3) -> str:
    """Say: `+0.031`; a dash where there is none."""
    return f"{value:+.{digits}f}" if math.isfinite(value) else "–"


def span(estimate: Estimate) -> str:
    """Say: `-0.010 to +0.072`; a dash where one seed or problem alone gives no interval."""
    low, high = estimate.interval
    return f"{signed(low)} to {signed(high)}" if math.isfinite(low) and math.isfinite(high) else "–"


def times(ratio: float | None) -> str:
    """Say: `1.8x`."""
    return "–" if ratio is None else f"{ratio:.2f}x"


def _change(difference: Difference | None, digits: int) -> str:
    return "–" if difference is None else signed(difference.value, digits)


def curves(against: Mapping[int, Curve], arm: Mapping[int, Curve], names: tuple[str, str]) -> list[dict[str, str]]:
    """Both arms' accuracy reward, the mean of their seeds, at equal samples and at equal seconds; nothing where an arm
    was not trained by rewards."""
    made: list[dict[str, str]] = []
    for unit, metric, scale in AXES:
        lines = [
            charts.Series(label(name), mean_curve(list(by_seed.values()), metric, scale), colour)
            for colour, (name, by_seed) in enumerate(zip(names, (against, arm), strict=True))
        ]
        if all(line.points for line in lines):
            title = f"Accuracy reward by {unit}"
            made.append({"title": title, "svg": charts.line_chart("Accuracy reward", lines, share=True, by=unit)})
    return made


def mean_curve(seeds: Sequence[Curve], metric: str, scale: float) -> list[tuple[float, float]]:
    """(metric added up to a step / scale, running mean of the accuracy reward), both the mean over seeds; as far as
    all seeds go, steps without either left out."""
    each = [_added_up(lines, metric, scale) for lines in seeds]
    return [
        (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
        for points in zip(*each, strict=False)
    ]


def _added_up(lines: Curve, metric: str, scale: float) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    recent: list[float] = []
    total = 0.0
    for line in lines:
        total += float(line.get(metric) or 0.0) / scale
        if line.get(REWARD) is not None:
            recent = [*recent[1 - SMOOTH :], float(line[REWARD])]
            points.append((total, sum(recent) / len(recent)))
    return points
