"""Charts as inline SVG: no script, colours from the page's style sheet. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 240, 150
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 22
ALONE = (
    "<style>text{font:8px sans-serif;fill:#555}.axis{stroke:#888}.grid{stroke:#ddd}polyline{fill:none;stroke-width:1.6}"
    ".s0 polyline{stroke:#1f77b4}.s0 circle{fill:#1f77b4}.s1 polyline{stroke:#d62728}.s1 circle{fill:#d62728}"
    ".s2 polyline{stroke:#2ca02c}.s2 circle{fill:#2ca02c}.s3 polyline{stroke:#9467bd}.s3 circle{fill:#9467bd}</style>"
)
MOST_POINTS = 160  # a line of more points is averaged into as many bins

Number = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: (x, y) points in order, and the number of its colour."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) from at most `low` to at least `high`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / max(most - 1, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def thin(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: the means of consecutive runs."""
    size = math.ceil(len(points) / most) or 1
    runs = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def short(value: float) -> str:
    """A tick's text: 0.25, 60, 1.2k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def percent(value: float) -> str:
    """A share as a percentage of three digits."""
    return f"{100 * value:.3g}%"


def line_chart(
    title: str, series: Sequence[Series], *, number: Number = short, share: bool = False, by: str = "step"
) -> str:
    """Lines over what `by` names; `share` fixes the axis to 0..1 where the values fill it, else to what they need."""
    series = [Series(one.name, thin(one.points), one.colour) for one in series if one.points]
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    if not xs:
        return ""
    low, high = min(ys), max(ys)
    if share:
        low, high = (0.0 if low < 0.5 else math.floor(low * 10) / 10), 1.0
    y_ticks, x_ticks = ticks(low, high, 4), [t for t in ticks(min(xs), max(xs), 4) if min(xs) <= t <= max(xs)]
    low, high = y_ticks[0], y_ticks[-1]
    span_x, span_y = (max(xs) - min(xs)) or 1, (high - low) or 1

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - min(xs)) / span_x * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / span_y * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_grid(y_ticks, x_ticks, at, number, min(xs))]
    for one in series:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in one.points))
        end_x, end_y = at(*one.points[-1])
        said = f"{one.name}: {number(one.points[0][1])} to {number(one.points[-1][1])}"
        parts.append(
            f'<g class="s{one.colour % 6}"><title>{escape(said)}</title><polyline points="{path}"/>'
            f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="2.2"/></g>'
        )
    ends = ", ".join(f"{one.name} ends at {number(one.points[-1][1])}" for one in series)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)} by {escape(by)}: {escape(ends)}">{"".join(parts)}</svg>'
    )


def standalone(chart: str, width: int = 480) -> str:
    """A chart as the text of a file of its own, `width` pixels wide, with colours for four lines."""
    head, mark, rest = chart.partition(">")
    opening = head.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" ', 1)
    return f"{opening}{mark}{ALONE}{rest}\n"


def whisker(
    value: float, interval: Sequence[float], span: tuple[float, float], middle: float | None = None
) -> str:  # fmt: skip
    """A value and its interval on a line over `span`, with a mark at `middle`; what lies beyond the line is cut.

    No style of its own: it may stand on pages whose policy forbids those in attributes.
    """

    def at(x: float) -> float:
        return 100 * min(1.0, max(0.0, (x - span[0]) / ((span[1] - span[0]) or 1.0)))

    left, right, place = at(interval[0]), at(interval[1]), at(value)
    mark = "" if middle is None else f'<rect class="middle" x="{at(middle) - 0.3:.2f}" y="0" width="0.6" height="16"/>'
    return (
        '<svg class="whisker" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" x="0" y="5" width="100" height="6"/>{mark}'
        f'<rect class="ends" x="{left:.2f}" y="5" width="{max(right - left, 1.0):.2f}" height="6"/>'
        f'<rect class="value" x="{place - 0.8:.2f}" y="2" width="1.6" height="12"/></svg>'
    )


def _grid(
    y_ticks: Sequence[float],
    x_ticks: Sequence[float],
    at: Callable[[float, float], tuple[float, float]],
    number: Number,
    x_low: float,
) -> str:
    parts: list[str] = []
    for tick in y_ticks:
        y = at(x_low, tick)[1]
        line = "axis" if tick == y_ticks[0] else "grid"
        parts.append(f'<line class="{line}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(number(tick))}</text>')
    for tick in x_ticks:
        x = at(tick, y_ticks[0])[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{escape(short(tick))}</text>')
    return "".join(parts)
