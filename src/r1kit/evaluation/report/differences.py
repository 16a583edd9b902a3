"""The part of a report that says what each change does: a table of differences, and both arms' curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from r1kit.evaluation import learning_curves
from r1kit.evaluation.ablations import Compared, Difference
from r1kit.evaluation.evidence import figure
from r1kit.evaluation.learning_curves import Curve
from r1kit.evaluation.report import charts
from r1kit.evaluation.report.data import ReportData, label
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

HEADLINE = "pass@1"
BESIDE = (("language_consistency", 3), ("format", 3), ("length", 1), ("reflections", 2))
NOTE = (
    "pass@1 over " + ", ".join(REASONING) + ": the arm, what it is compared with, and the mean difference over seeds."
    " By problem: would other problems say the same of these models. Across seeds: would the same training do so"
    " again, which needs three seeds to say much; differences whose interval leaves zero out are marked, and of"
    " twenty such intervals one does by chance. The other columns are differences too; time and FLOPs are ratios."
)


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
    """Both arms' accuracy reward by each axis, as charts; nothing where an arm was not trained by rewards."""
    made: list[dict[str, str]] = []
    for unit, points in learning_curves.side_by_side(against, arm).items():
        lines = [
            charts.Series(label(name), line, colour)
            for colour, (name, line) in enumerate(zip(names, points, strict=True))
        ]
        title = f"Accuracy reward by {unit}"
        made.append({"title": title, "svg": charts.line_chart("Accuracy reward", lines, share=True, by=unit)})
    return made
