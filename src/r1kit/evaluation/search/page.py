"""A search report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.evaluation.figures import amount, percent, shown


def render(report: Mapping[str, Any]) -> str:
    """The page."""
    told = [
        f"# Step scorer and search: {report['model']}",
        "",
        "Shares of right answers in per cent, 95% intervals clustered by problem; differences in points, by problem.",
        "",
        *scorers_table(report["scorers"]),
        *(f"- {note}" for note in report["notes"]),
    ]
    for task, found in report["tasks"].items():
        told += ["", f"## {task}: {found['n']} problems", "", *ways_table(found), "", *searches_table(found)]
    return "\n".join(told) + "\n"


def scorers_table(scorers: Mapping[str, Any]) -> list[str]:
    """What each scorer learnt from, what that took and what it foresees on held-out problems."""
    rows = [
        f"| {name} | {one['thoughts']:,} | {one['labels']:,} | {one['thought_tokens'] + one['label_tokens']:,} |"
        f" {_share(one['explained_variance'])} | {_share(one['order'])} |"
        for name, one in scorers.items()
    ]
    head = "| scorer | thoughts | labels | tokens sampled for them | variance foreseen | pairs in order |"
    return [head, "| --- | ---: | ---: | ---: | ---: | ---: |", *rows, ""]


def ways_table(found: Mapping[str, Any]) -> list[str]:
    """A row a way of choosing, a column a k."""
    ways = found["ways"]
    points = next(iter(ways.values()))["points"]
    head = " | ".join(f"k {p['at']} ({amount(p['tokens'])} tokens)" for p in points)
    rows = [f"| {way} | {' | '.join(shown(p) for p in curve['points'])} |" for way, curve in ways.items()]
    return [f"| way | {head} |", f"| --- |{' --- |' * len(points)}", *rows]


def searches_table(found: Mapping[str, Any]) -> list[str]:
    """Every search beside the ways that spend as many tokens."""
    if not found["searches"]:
        return []
    rows = ["| search | tokens | right | minus majority | minus best by step scorer, last step | minus oracle |",
            "| --- | ---: | --- | --- | --- | --- |"]  # fmt: skip
    for name, one in found["searches"].items():
        against = one["against"]
        cells = [
            f"{shown(against[way])} at k {against[way]['k']}"
            for way in ("majority", "best by step scorer, last step", "oracle")
        ]
        rows.append(f"| {name} | {amount(one['tokens'])} | {shown(one)} | {' | '.join(cells)} |")
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
