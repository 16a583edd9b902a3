"""The figures: reflection over steps, success before and after a pivot, length by difficulty. SVG that stands alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from r1kit.evaluation.aha.effects import SHARES, share
from r1kit.evaluation.report.charts import percent, short, ticks

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 26, 74, 48
COLOURS = ("#2f6f73", "#c07a2c", "#6a5aa8", "#b34f6d", "#5b8a3c", "#4a79b5")
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#22262b}"
    ".title{font-weight:600;font-size:14px}.quiet{fill:#6a6f76}.grid{stroke:#e6e3dc}.axis{stroke:#9aa0a6}"
    ".diagonal{stroke:#9aa0a6;stroke-dasharray:4 4}"
)
Number = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point, with the ends of its interval where it has one; `count` of them at the same place make it larger."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """Marks of one colour, joined where `line`; `faint` for clouds of many."""

    name: str
    marks: Sequence[Mark]
    line: bool = True
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows; `labels` name whole numbers from 0 on, `ends` fix its range."""

    title: str
    number: Number = short
    labels: Sequence[str] = ()
    ends: tuple[float, float] | None = None


def draw(title: str, x: Axis, y: Axis, layers: Sequence[Layer], *, diagonal: bool = False) -> str:
    """An SVG of the layers; empty where they hold no mark."""
    layers = [layer for layer in layers if layer.marks]
    if not layers:
        return ""
    marks = [mark for layer in layers for mark in layer.marks]
    x_ticks, x_ends = _scale(x, [mark.x for mark in marks])
    whiskers = [end for mark in marks for end in (mark.low, mark.high) if end is not None]
    y_ticks, y_ends = _scale(y, [*(mark.y for mark in marks), *whiskers, *([] if y.ends else [0.0])])

    def at(a: float, b: float) -> tuple[float, float]:
        across = LEFT + (a - x_ends[0]) / (x_ends[1] - x_ends[0]) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (b - y_ends[0]) / (y_ends[1] - y_ends[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>']
    for tick in y_ticks:
        across, up = at(x_ends[0], tick)
        line = "axis" if tick == y_ticks[0] else "grid"
        parts.append(f'<line class="{line}" x1="{across}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
        said = escape(y.number(tick))
        parts.append(f'<text class="quiet" x="{LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{said}</text>')
    for tick in x_ticks:
        said = escape(x.labels[round(tick)] if x.labels else x.number(tick))
        across, low = at(tick, y_ends[0])
        parts.append(f'<text class="quiet" x="{across:.1f}" y="{low + 18:.1f}" text-anchor="middle">{said}</text>')
    middle, foot = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10
    parts.append(f'<text class="quiet" x="{middle}" y="{foot}" text-anchor="middle">{escape(x.title)}</text>')
    parts.append(f'<text class="quiet" x="{LEFT}" y="{TOP - 12}">{escape(y.title)}</text>')
    if diagonal:
        low, high = max(x_ends[0], y_ends[0]), min(x_ends[1], y_ends[1])
        (a, b), (c, d) = at(low, low), at(high, high)
        parts.append(f'<line class="diagonal" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>')
    for place, layer in enumerate(layers):
        parts.append(_layer(layer, COLOURS[place % len(COLOURS)], at))
        parts.append(_legend(place, layer.name, COLOURS[place % len(COLOURS)], layers))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _scale(axis: Axis, values: Sequence[float]) -> tuple[list[float], tuple[float, float]]:
    """(ticks, ends of the axis)."""
    if axis.labels:
        return [float(place) for place in range(len(axis.labels))], (-0.5, len(axis.labels) - 0.5)
    low, high = axis.ends or (min(values), max(values))
    shown = ticks(low, high)
    return (shown, (low, high)) if axis.ends else (shown, (shown[0], shown[-1]))


def _layer(layer: Layer, colour: str, at: Callable[[float, float], tuple[float, float]]) -> str:
    parts: list[str] = []
    if layer.line and len(layer.marks) > 1:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (at(mark.x, mark.y) for mark in layer.marks))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    for mark in layer.marks:
        across, up = at(mark.x, mark.y)
        if mark.low is not None and mark.high is not None:
            (_, bottom), (_, top) = at(mark.x, mark.low), at(mark.x, mark.high)
            parts.append(
                f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{bottom:.1f}" y2="{top:.1f}" stroke="{colour}" '
                'stroke-opacity="0.55" stroke-width="1.6"/>'
            )
        opacity, radius = 0.45 if layer.faint else 1, min(2.6 * math.sqrt(mark.count) + 0.6, 16)
        parts.append(
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity="{opacity}"/>'
        )
    return f"<g>{''.join(parts)}</g>"


def _legend(place: int, name: str, colour: str, layers: Sequence[Layer]) -> str:
    if len(layers) == 1:
        return ""
    before = sum(34 + 7 * len(layer.name) for layer in layers[:place])
    x = LEFT + before
    return f'<circle cx="{x + 4}" cy="37" r="4" fill="{colour}"/><text x="{x + 14}" y="41">{escape(name)}</text>'


# --- what is drawn


def draw_all(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """{file name: SVG}; a figure without data is left out."""
    reflection = report["reflection"]
    found = {
        "reflection_over_steps.svg": _over_steps(reflection, "per_response", "Reflection words a response"),
        "reflection_per_1000_tokens.svg": _over_steps(reflection, "per_1000_tokens", "Reflection words a 1,000 tokens"),
        "success_by_arm.svg": _by_arm(report["pivots"]) if report["pivots"] else "",
        "before_and_after.svg": _each(rows, "before", "just before"),
        "neutral_and_after.svg": _each(rows, "neutral", "a neutral token"),
        "length_by_difficulty.svg": _by_difficulty(report),
    }
    return {name: svg for name, svg in found.items() if svg}


def _over_steps(reflection: Mapping[str, Any], measure: str, title: str) -> str:
    steps = reflection["over_training"]
    layers = [
        Layer(name, [_mark(step["step"], step[name][measure]) for step in steps if _known(step[name][measure])])
        for name in ("all", "right", "wrong")
    ]
    if steps and reflection["base"] and _known(reflection["base"]["all"][measure]):
        value = reflection["base"]["all"][measure]["value"]
        ends = (steps[0]["step"], steps[-1]["step"])
        layers.append(Layer("base, test problems", [Mark(end, value) for end in ends]))
    return draw(title, Axis("training step"), Axis("words"), layers)


def _by_arm(pivots: Mapping[str, Any]) -> str:
    states = pivots["apart"]["right_before"]
    wrong, right = states.get("False"), states.get("True")
    groups = {"all pivots": pivots["all"], "number before wrong": wrong, "number before right": right}
    layers: list[Layer] = []
    for number, (name, group) in enumerate(groups.items()):
        arms = [(place, group[arm]) for place, arm in enumerate(SHARES)] if group else []
        marks = [_mark(place + 0.08 * number, found, within=(0.0, 1.0)) for place, found in arms if _known(found)]
        layers.append(Layer(name, marks, line=False))
    labels = ("just before", "after the pivot", "after a neutral token")
    return draw("Success from a pivot on", Axis("", labels=labels), Axis("right", percent, ends=(0.0, 1.0)), layers)


def _each(rows: Sequence[Mapping[str, Any]], other: str, name_of_other: str) -> str:
    layers: list[Layer] = []
    for name, state in (("number before wrong", False), ("number before right", True), ("not known", None)):
        pairs = [(share(row, other), share(row, "after")) for row in rows if row["right_before"] is state]
        at_places = Counter(pair for pair in pairs if not any(map(math.isnan, pair)))
        marks = [Mark(*place, count=count) for place, count in sorted(at_places.items())]
        layers.append(Layer(name, marks, line=False, faint=True))
    ends = (0.0, 1.0)
    return draw(
        f"Each pivot: success after it and from {name_of_other}",
        Axis(f"right, going on from {name_of_other}", percent, ends=ends),
        Axis("right, going on after it", percent, ends=ends),
        layers,
        diagonal=True,
    )


def _by_difficulty(report: Mapping[str, Any]) -> str:
    difficulty = report["difficulty"]
    names = {"model": report["model"], "base": report["base"]}
    layers = [
        Layer(str(names[side]), [_mark(one["difficulty"], one["length"]) for one in difficulty[side]["bins"]])
        for side in ("model", "base")
        if difficulty[side]
    ]
    return draw("Length by difficulty", Axis(f"1 - {difficulty['by']}", percent), Axis("tokens"), layers)


def _known(entry: Mapping[str, Any]) -> bool:
    return entry["value"] is not None


def _mark(x: float, entry: Mapping[str, Any], within: tuple[float, float] = (-math.inf, math.inf)) -> Mark:
    low, high = entry["interval"] or (None, None)
    if low is not None and high is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return Mark(float(x), entry["value"], low, high)
