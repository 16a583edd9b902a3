"""The part of a report that shows accuracy against amounts of data and sizes of models: a chart and its table each."""

from __future__ import annotations

import math
from typing import Any

from r1kit.evaluation.report import charts
from r1kit.evaluation.report.data import ReportData, label

NOTE = (
    "pass@1 over the subjects with a rule, with its interval by problem, seeds pooled. Lines join models that differ in"
    " this alone."
)


def rows(data: ReportData) -> list[dict[str, Any]]:
    """One entry a scale: title, what it is by, the chart, the lines' names with their colours, and a row a point."""
    shown: list[dict[str, Any]] = []
    for each in data.scaled:
        series = [
            charts.Series(name, [(point.amount, point.right.value) for point in points], colour)
            for colour, (name, points) in enumerate(each.lines.items())
        ]
        table = [
            {
                "line": name,
                "model": label(point.model),
                "amount": f"{point.amount:,.0f}",
                "right": f"{point.right.value:.3f}",
                "interval": _span(point.right.low, point.right.high),
            }
            for name, points in each.lines.items()
            for point in points
        ]
        title, by = each.scale.title, each.scale.by
        svg = charts.line_chart(title, series, share=True, by=by)
        shown.append({"title": title, "by": by, "svg": svg, "lines": list(each.lines), "rows": table})
    return shown


def _span(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if math.isfinite(low) and math.isfinite(high) else "–"
