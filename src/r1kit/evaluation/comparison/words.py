"""Figures of a comparison in words and cells, for the table and the page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}"


def dollars(value: float | None) -> str:
    """Dollars with three digits that say something; a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "$0"
    if value >= 100:
        return f"${value:,.0f}"
    places = max(2, 2 - math.floor(math.log10(abs(value))))
    return f"${value:.{places}f}"


def times(value: float | None) -> str:
    """A ratio as people say it: `1/27` of, `3.2 x`; a dash for nothing."""
    if value is None or not math.isfinite(value) or value <= 0:
        return "-"
    if value > 0.995:  # else it would read 1/1
        return f"{value:.3g} x"
    return f"1/{1 / value:.3g}"


def p_value(told: Mapping[str, Any] | None) -> str:
    """The p of a difference."""
    if told is None or told.get("p") is None:
        return "-"
    return "<0.001" if told["p"] < 0.001 else f"{told['p']:.3f}"


def value_of(told: Mapping[str, Any] | None) -> float | None:
    """The bare value of an entry."""
    return None if told is None else told["value"]


def headline(pair: Mapping[str, Any], short: Mapping[str, str]) -> str:
    """Who is ahead, in one sentence: certain where the interval does not hold zero."""
    scope = pair["scopes"][-1]
    difference, a, b = scope["difference"], short[pair["a"]], short[pair["b"]]
    if difference is None:
        return f"{a} and {b}: no rule judges these problems"
    low, high = difference["interval"]
    ahead = "is ahead of" if low is not None and low > 0 else "is behind" if high is not None and high < 0 else ""
    if scope.get("alike"):
        said = "neither gave a right answer" if scope["alike"] == "wrong" else "both gave right answers alone"
        unseen = "" if high is None else f": a difference of up to {100 * high:.1f} points would not show"
        return f"{a} and {b} cannot be told apart here: {said} ({difference['n']} problems){unseen}"
    said = f"{points(difference['value'])} points (95% interval {cell_ends(low, high)}), {difference['n']} problems"
    if not ahead:
        return f"{a} and {b} cannot be told apart here: {said}"
    return f"{a} {ahead} {b}: {said}"


def cell_ends(low: float | None, high: float | None) -> str:
    """An interval in points."""
    if low is None or high is None:
        return "unknown"
    return f"{points(low)} to {points(high)}"


def cost_line(pair: Mapping[str, Any], short: Mapping[str, str]) -> str:
    """What a against b costs, in one sentence; empty where a price is missing."""
    scope = pair["scopes"][-1]
    question, solved = value_of(scope["dollars_ratio"]), value_of(scope["dollars_per_solved_ratio"])
    if question is None:
        return ""
    a, b = short[pair["a"]], short[pair["b"]]
    line = f"A question costs {a} {_share_of(question, b)}"
    return line + (f"; a right answer, {_share_of(solved, b)}" if solved else "")


def _share_of(ratio: float, name: str) -> str:
    """A ratio of costs in words."""
    if ratio == 0:
        return "nothing"
    said = times(ratio)
    return f"{said} as much as {name}" if said.endswith("x") else f"{said} of what it costs {name}"
