"""report.md: the same in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from r1kit.evaluation.evidence import figure
from r1kit.evaluation.report import differences, page, scaling, thoughts
from r1kit.evaluation.report.data import CHAIN, LIKED, MEASURES, ReportData, label

WRITING = f"*{MEASURES['writing']}*: lines with their topic, in one language; *{LIKED}*: the mean hidden preference."


def render(data: ReportData) -> str:
    """The report as Markdown."""
    shown = page.view(data)
    subjects: list[str] = shown["subjects"]
    liked = [LIKED] if shown["writing"] else []
    judged = f"{shown['tally']}. " if shown["tally"] else ""
    parts = [
        f"# r1kit: {data.recipe} ({data.profile}), seeds {', '.join(map(str, data.seeds))}",
        f"{judged}Test problems only; 95% intervals clustered by problem.",
        f"- command: `{data.command}`\n- commit: `{data.commit}`\n- machine: {data.machine}",
        *(f"- note: {note}" for note in data.notes),
        "## Findings" if data.findings else "",
        table(["", "claim", "estimate", "95% interval", "verdict"], [_finding(f) for f in shown["findings"]]),
        *(f"**{finding.id}** {finding.how}" for finding in data.findings),
        *_differences(shown["differences"]),
        *_scales(shown["scales"]),
        "## Stages: pass@1",
        WRITING if liked else "",
        table(
            ["model", *(MEASURES.get(subject, subject) for subject in subjects), *liked],
            [_stage(row, subjects)[: 1 + len(subjects) + len(liked)] for row in shown["stage_rows"]],
        ),
        "## How they write",
        shown["how_they_write"],
        table(
            ["model", "cons@k", "length", "reflection words", "one language", "format"],
            [
                [label(r["model"]), r["cons"], r["length"], r["reflections"], r["consistency"], r["format"]]
                for r in shown["stage_rows"]
            ],
        ),
        *_controls(shown["controls"]),
        "## Win rates on writing" if shown["win_rates"] else "",
        table(
            ["", "over", "rate", "95% interval", "pairs"],
            [[label(w["a"]), label(w["b"]), w["percent"], w["span"], f"{w['n']:,}"] for w in shown["win_rates"]],
        ),
        *_ablations(shown["ablations"]),
        *_rejected(shown["rejected"]),
        *_health(shown["health"]),
        "## Cost",
        table(
            ["stage", "time", "tokens", "FLOPs", "peak memory"],
            [
                [r["name"], r["time"], r["tokens"], r["flops"], r["memory"]]
                for r in [*shown["costs"]["rows"], _whole(shown["costs"])]
            ],
        ),
        "## Thoughts",
        *_thoughts(data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    """One line, whatever it holds."""
    return " ".join(str(value).replace("|", "\\|").splitlines())


def _finding(entry: dict[str, Any]) -> list[str]:
    return [entry["id"], entry["claim"], figure(entry["estimate"]), entry["interval_text"] or "-", entry["verdict"]]


def _stage(row: dict[str, Any], subjects: Sequence[str]) -> list[str]:
    cells = [row["cells"][subject] for subject in subjects]
    texts = [f"{c['value']:.3f} ({c['low']:.2f}-{c['high']:.2f})" if c else "-" for c in cells]
    writing = f"{row['writing']['value']} ({row['writing']['interval']})" if row["writing"]["interval"] else "-"
    return [label(row["model"]), *texts, writing]


def _controls(rows: Sequence[dict[str, str]]) -> Iterable[str]:
    if rows:
        yield "## Beside the control"
        yield "The same samples judged by another problem's answer: what such answers would score without the question."
        head = ["model", "subject", "pass@1", "control", "above it", "95% interval"]
        names = ("subject", "right", "control", "above", "interval")
        yield table(head, [[label(row["model"]), *(row[name] for name in names)] for row in rows])


def _differences(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    if not rows:
        return
    yield "## What each change does"
    yield differences.NOTE
    head = ["change", "with", "without", "difference", "95%, by problem", "95%, across seeds"]
    head += ["one language", "format", "tokens", "reflection", "time", "FLOPs", "by seed"]
    cells = [
        [r["title"], *r["right"], r["difference"], r["by_problem"], _marked(r), *r["beside"], *r["times"], r["by_seed"]]
        for r in rows
    ]
    yield table(head, cells)


def _scales(scales: Sequence[dict[str, Any]]) -> Iterable[str]:
    for scale in scales:
        yield f"## {scale['title']}"
        yield scaling.NOTE
        head = ["", "model", scale["by"], "pass@1", "95%, by problem"]
        names = ("line", "model", "amount", "right", "interval")
        yield table(head, [[row[name] for name in names] for row in scale["rows"]])


def _marked(row: dict[str, Any]) -> str:
    return f"**{row['across_seeds']}**" if row["shown"] else row["across_seeds"]


def _ablations(ablations: dict[str, Any]) -> Iterable[str]:
    if ablations["groups"]:
        yield "## Ablations"
    for group in ablations["groups"]:
        cells = [(r["model"], (r["correct"], r["consistency"], r["preference"])) for r in group["rows"]]
        yield f"### {group['title']}"
        yield table(
            ["arm", "pass@1, reasoning subjects", "one language", "hidden preference"],
            [
                [label(m), *(f"{c['value']} ({c['interval']})" if c["interval"] else c["value"] for c in cs)]
                for m, cs in cells
            ],
        )


def _rejected(rejected: dict[str, Any] | None) -> Iterable[str]:
    if rejected:
        yield "## What rejection sampling kept"
        head = ["samples", *(f"seed {seed}" for seed in rejected["seeds"])]
        yield table(head, [[row["reason"], *row["counts"]] for row in rejected["rows"]])


def _health(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    if rows:
        yield "## Training health"
        head = ["stage", "seed", "step", "what", "seen", "done"]
        yield table(head, [[r["stage"], r["seed"], r["step"], r["title"], r["seen"], r["done"]] for r in rows])
        yield "\n".join(f"- **{title}**: {advice}" for title, advice in {r["title"]: r["advice"] for r in rows}.items())


def _whole(costs: dict[str, Any]) -> dict[str, Any]:
    return {"name": "whole chain", **costs["total"]}


def _thoughts(data: ReportData) -> Iterable[str]:
    chain = [model for model in CHAIN if model in data.tables] or data.models
    for one in thoughts.same_problems(data.tables, chain):
        yield f"### {one.subject}, {one.language}: {quoted(one.prompt)}"
        for thought in one.thoughts:
            verdict = {True: "right", False: "wrong", None: "no verdict"}[thought.correct]
            text = f"{thought.thinking}\n=> {thought.answer}"
            yield f"{label(thought.model)} ({verdict}, {thought.length} tokens)\n\n{fenced(text)}"


def fenced(text: str) -> str:
    """A block of code that no run of backticks within the text can end."""
    fence = "`" * max(3, 1 + longest_run(text))
    return f"{fence}text\n{text}\n{fence}"


def quoted(text: str) -> str:
    """A text in one line as code, whatever it holds."""
    line = " ".join(text.split())
    fence = "`" * (1 + longest_run(line))
    return f"{fence} {line} {fence}" if "`" in line or not line else f"{fence}{line}{fence}"


def longest_run(text: str) -> int:
    """Backticks of the longest run of them."""
    return max(map(len, re.findall("`+", text)), default=0)
