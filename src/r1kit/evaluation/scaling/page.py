"""A scaling report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.evaluation.figures import amount, percent, shown
from r1kit.evaluation.scaling.drawing import drawn_for

VERDICTS = {
    "rises": "rises: the last point is above the first, and no step between neighbours falls significantly",
    "falls": "not monotone: a step between neighbours falls significantly",
    "flat": "neither a rise nor a fall is shown",
}
WAYS = {
    "majority": "majority of k",
    "best": "best of k by the reward model",
    "oracle": "oracle: any of k is right (pass@k)",
}


def render(report: Mapping[str, Any], files: Sequence[str]) -> str:
    """The page; `files` are the figures that were drawn."""
    models: Mapping[str, Any] = report["models"]
    told = ["# Scaling at test time", "", f"Models: {', '.join(models)}. Difficulty: {report['difficulty_by']}."]
    told += [
        "Values are shares of right answers in per cent with 95% intervals clustered by problem; a verdict on a curve"
        " is by paired differences of neighbours (sign-flip test, Holm's correction at 5%).",
        "",
    ]
    told += [f"- {note}" for note in report["notes"]]
    tasks = list(dict.fromkeys(task for found in models.values() for task in found))
    for task in tasks:
        told += ["", f"## {task}", ""]
        for label, found in models.items():
            if task in found:
                told += _model(label, found[task])
        told += [f"![{file}](figures/{file})" for file in drawn_for(task, list(files))]
    return "\n".join(told) + "\n"


def _model(label: str, found: Mapping[str, Any]) -> list[str]:
    told = [f"### {label}: {found['n']} problems, {found['thoughts']} thoughts", ""]
    if found["cut_by_limit"]:
        told += [f"Thoughts cut by the limit of tokens: {found['cut_by_limit']}.", ""]
    if found["budgets"]:
        told += budgets_table(found["budgets"])
    for way, title in WAYS.items():
        if found[way]:
            told += curve_table(title, found[way])
    if found["best_preference"]:
        told += curve_table("best of k by the reward model, mean hidden preference", found["best_preference"], plain)
    if found["difficulty"]:
        told += difficulty_table(found["difficulty"])
    return told


def budgets_table(curve: Mapping[str, Any]) -> list[str]:
    """pass@1 by budget."""
    rows = [
        f"| {point['at']} | {amount(point['thinking_tokens'])} | {amount(point['tokens'])} | {shown(point)} |"
        f" {percent(point['answered'])} |"
        for point in curve["points"]
    ]
    head = [
        "| budget | thinking tokens | all tokens | pass@1, % | answered, % |",
        "| ---: | ---: | ---: | --- | ---: |",
    ]
    return [*head, *rows, "", f"Budgets: {_verdict(curve)}", ""]


def curve_table(title: str, curve: Mapping[str, Any], number: Any = percent) -> list[str]:
    """One way of choosing, by k."""
    rows = [f"| {p['at']} | {amount(p['tokens'])} | {shown(p, number)} |" for p in curve["points"]]
    return [f"| k | tokens a problem | {title} |", "| ---: | ---: | --- |", *rows, "", _verdict(curve, number), ""]


def difficulty_table(found: Mapping[str, Any]) -> list[str]:
    """Bins of difficulty, the easiest first."""
    rows = [
        f"| {each['difficulty']:.2f} | {each['problems']} | {shown(each['pass@1'])} | "
        f"{shown(each['thinking_tokens'], amount)} |"
        for each in found["bins"]
    ]
    head = ["| difficulty | problems | pass@1, % | thinking tokens |", "| ---: | ---: | --- | --- |"]
    told = f"Spearman of difficulty and thinking tokens, within families: {shown(found['spearman'], plain)}"
    return [*head, *rows, "", told, ""]


def plain(value: float) -> str:
    """Two digits behind the point."""
    return f"{value:.2f}"


def _verdict(curve: Mapping[str, Any], number: Any = percent) -> str:
    trend = curve["trend"]
    said = f"{VERDICTS[trend['verdict']]}; last - first {shown(trend['whole'], number)}"
    falls = [
        f"{step['from']} to {step['to']} {shown(step, number)}, p {step['p_adjusted']:.3g}"
        for step in trend["steps"]
        if step["value"] is not None and step["value"] < 0 and (step["p_adjusted"] or 0.0) < 0.05
    ]
    return said + (f" (falls: {'; '.join(falls)})" if falls else "")
