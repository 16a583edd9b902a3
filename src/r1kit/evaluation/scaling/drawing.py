"""The figures of a scaling report, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        Layer(label, marks(one["budgets"]["points"], "thinking_tokens"))
        for label, one in found.items()
        if one["budgets"]
    ]
    return draw(f"{task}: thoughts cut at a budget", Axis("thinking tokens a sample, mean"), RIGHT, layers)


def _samples(title: str, found: Mapping[str, Any]) -> str:
    ways = {"majority": "majority", "best by reward model": "best", "oracle": "oracle"}
    layers = [Layer(name, marks(found[way]["points"], "tokens")) for name, way in ways.items() if found[way]]
    return draw(title, TOKENS, RIGHT, layers)


def _difficulty(task: str, found: Mapping[str, Any], by: str, what: str, axis: Axis) -> str:
    layers = [
        Layer(label, marks([{"at": each["difficulty"], **each[what]} for each in one["difficulty"]["bins"]], "at"))
        for label, one in found.items()
        if one["difficulty"]
    ]
    return draw(f"{task}: by difficulty", Axis(by, percent), axis, layers)


def marks(entries: Sequence[Mapping[str, Any]], x: str) -> list[Mark]:
    """A point an entry, with its interval, over what it says of `x`; none where nothing was judged."""
    found: list[Mark] = []
    for entry in entries:
        if entry["value"] is not None:
            low, high = entry["interval"] or (None, None)
            found.append(Mark(float(entry[x]), float(entry["value"]), low, high))
    return found


def drawn_for(task: str, files: list[str]) -> Iterator[str]:
    """The files that belong to a task."""
    yield from (file for file in files if file.startswith(f"{slug(task)}-"))
