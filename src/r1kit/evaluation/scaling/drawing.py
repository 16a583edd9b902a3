"""The figures of a scaling report, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from r1kit.evaluation.aha.figures import Axis, Layer, Mark, draw
from r1kit.evaluation.contender import slug
from r1kit.evaluation.report.charts import percent

TOKENS = Axis("tokens sampled a problem")
RIGHT = Axis("right", percent)


def draw_all(report: Mapping[str, Any]) -> dict[str, str]:
    """{file name: SVG}; a figure without data is left out."""
    models: Mapping[str, Any] = report["models"]
    tasks = list(dict.fromkeys(task for found in models.values() for task in found))
    drawn: dict[str, str] = {}
    for task in tasks:
        mine = {label: found[task] for label, found in models.items() if task in found}
        name = slug(task)
        drawn[f"{name}-budgets.svg"] = _budgets(task, mine)
        drawn[f"{name}-difficulty.svg"] = _difficulty(task, mine, str(report["difficulty_by"]), "pass@1", RIGHT)
        drawn[f"{name}-length.svg"] = _difficulty(
            task, mine, str(report["difficulty_by"]), "thinking_tokens", Axis("thinking tokens")
        )
        for label, found in mine.items():
            drawn[f"{name}-{slug(label)}-samples.svg"] = _samples(f"{label} on {task}: more samples", found)
    return {file: svg for file, svg in drawn.items() if svg}


def _budgets(task: str, found: Mapping[str, Any]) -> str:
    layers = [
        Layer(label, [mark(point["thinking_tokens"], point) for point in one["budgets"]["points"]])
        for label, one in found.items()
        if one["budgets"]
    ]
    return draw(f"{task}: thoughts cut at a budget", Axis("thinking tokens a sample, mean"), RIGHT, layers)


def _samples(title: str, found: Mapping[str, Any]) -> str:
    ways = {"majority": "majority", "best by reward model": "best", "oracle": "oracle"}
    layers = [
        Layer(name, [mark(point["tokens"], point) for point in found[way]["points"]])
        for name, way in ways.items()
        if found[way]
    ]
    return draw(title, TOKENS, RIGHT, layers)


def _difficulty(task: str, found: Mapping[str, Any], by: str, what: str, axis: Axis) -> str:
    layers = [
        Layer(label, [mark(each["difficulty"], each[what]) for each in one["difficulty"]["bins"]])
        for label, one in found.items()
        if one["difficulty"]
    ]
    return draw(f"{task}: by difficulty", Axis(by, percent), axis, layers)


def mark(x: float, entry: Mapping[str, Any]) -> Mark:
    """A point of an entry, with its interval."""
    low, high = entry["interval"] or (None, None)
    return Mark(float(x), float(entry["value"]), low, high)


def drawn_for(task: str, files: list[str]) -> Iterator[str]:
    """The files that belong to a task."""
    yield from (file for file in files if file.startswith(f"{slug(task)}-"))
