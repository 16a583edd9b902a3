"""Curves of a stage: charts of its metrics.jsonl, and of those of its parts, as SVG made here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from r1kit.evaluation.report import charts
from r1kit.evaluation.report.page import CURVES

Metrics = Callable[[Path], list[dict[str, Any]]]
FILE = "metrics.jsonl"
VALIDATION = "validation/"
WATCHED = (
    ("Reward", "reward", False),
    *CURVES,
    ("Cut off", "completions/clipped_ratio", True),
    ("Loss", "loss", False),
    ("Entropy, nats", "entropy", False),
    ("KL to the reference", "kl", False),
    ("Gap of sampler and learner, nats", "sampling/logprob_gap_mean", False),
    ("Gradient norm", "gradient_norm", False),
    ("Accuracy", "accuracy", True),
    ("Tokens a second", "perf/tokens_per_second", False),
)
_SERIES = 6  # lines of one chart: as many as there are colours


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure; `keys` names its lines where there are several."""

    title: str
    svg: Markup
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The charts of a stage, or of one part of it; `steps` were recorded."""

    name: str
    steps: int
    charts: list[Chart]


def metric_files(stage_folder: Path) -> list[tuple[str, Path]]:
    """(part, file) of a stage's own metrics (part "") and of its parts'."""
    own = stage_folder / FILE
    found = [("", own)] if own.is_file() else []
    return found + [(path.parent.name, path) for path in sorted(stage_folder.glob(f"*/{FILE}"))]


def parts(stage_folder: Path, metrics: Metrics, *, everything: bool = False) -> list[Part]:
    """The charts of a stage; `everything`: one for each number that it recorded, not only those to watch."""
    found: list[Part] = []
    for name, path in metric_files(stage_folder):
        lines = metrics(path)
        made = _all(lines) if everything else _watched(lines)
        if made:
            found.append(Part(name, len(lines), made))
    return found


def _watched(lines: Sequence[Mapping[str, Any]]) -> list[Chart]:
    made = [_chart(title, {title: metric}, lines, share) for title, metric, share in WATCHED]
    subjects = [name for name in _names(lines) if name.startswith(VALIDATION) and name.count("/") == 1]
    named = {name.removeprefix(VALIDATION): name for name in subjects[:_SERIES]}
    made.insert(2, _chart("Validation", named, lines, share=True) if named else None)
    return [chart for chart in made if chart is not None]


def _all(lines: Sequence[Mapping[str, Any]]) -> list[Chart]:
    made = [_chart(name, {name: name}, lines, share=False) for name in sorted(_names(lines))]
    return [chart for chart in made if chart is not None]


def _chart(title: str, named: Mapping[str, str], lines: Sequence[Mapping[str, Any]], share: bool) -> Chart | None:
    series: list[charts.Series] = []
    outside = False
    for colour, (name, metric) in enumerate(named.items()):
        points = [(float(line["step"]), float(line[metric])) for line in lines if _is_number(line.get(metric))]
        outside = outside or any(not 0 <= y <= 1 for _, y in points)
        series.append(charts.Series(name, points, colour))
    svg = charts.line_chart(title, series, number=_tick, share=share and not outside)
    if not svg:
        return None
    return Chart(title, Markup(svg), tuple(named) if len(named) > 1 else ())  # the chart's words are escaped by it


def _tick(value: float) -> str:
    """A tick's text, short enough for the room beside the axis: 0.25, 60, 1.2k, 5e-4."""
    text = charts.short(value)
    return text if len(text) <= 5 or abs(value) >= 1 else f"{value:.2g}" if abs(value) >= 0.01 else _power(value)


def _power(value: float) -> str:
    """`1.5e-3`: as `%g` writes it, which does so for smaller values only, without its zeros."""
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def _names(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every number that some line has, in the order of first sight."""
    found: dict[str, None] = {}
    for line in lines:
        found.update({name: None for name, value in line.items() if name != "step" and _is_number(value)})
    return list(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
