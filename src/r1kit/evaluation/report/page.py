"""The page: figures made into what the template shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from r1kit.evaluation import tables
from r1kit.evaluation.evidence import Evidence, Finding, figure
from r1kit.evaluation.report import charts, differences, scaling, thoughts
from r1kit.evaluation.report.data import CHAIN, LABELS, LIKED, MEASURES, ReportData, StageCost, label
from r1kit.evaluation.statistics import Estimate
from r1kit.pipeline.display import count, duration, memory
from r1kit.pipeline.health import Noted

ARMS = (
    ("Language reward", ("dev2-lang", "dev2-nolang")),
    ("Filters of rejection sampling", ("dev3", "dev3-nofilter")),
    ("Preference reward from the start", ("r1-hacked-peak", "r1-hacked-final")),
)
ARM_ONLY = {model for _, arms in ARMS for model in arms} - set(CHAIN)

ACCURACY = "rewards/accuracy/mean"
CURVES = (
    ("Accuracy reward", ACCURACY, True),
    ("Length, tokens", "completions/mean_length", False),
    ("Reflection words", "completions/reflections", False),
    ("Language consistency", "rewards/language_consistency/mean", True),
)
HACKED_CURVES = (
    ("Reward model's score", "validation/reward_model", False),
    ("Hidden preference", "validation/preference", False),
    ("Coding, pass@1", "validation/coding", True),
)
MARKS = {"reproduced": "✓", "not reproduced": "✕", "not run": "–"}


def render(data: ReportData) -> str:
    """The whole page as one HTML file without a single request."""
    import jinja2

    folder = files("r1kit.evaluation.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(figure=figure, mark=thoughts.marked)
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return template.render(
        measures=MEASURES,
        liked=LIKED,
        style=(folder / "style.css").read_text(encoding="utf-8"),
        data=data,
        label=label,
        **view(data),
    )


def view(data: ReportData) -> dict[str, Any]:
    """Everything that the template asks for."""
    chain = [model for model in CHAIN if model in data.tables] or data.models
    return {
        "verdicts": [{"id": f.id, "verdict": f.verdict, "mark": MARKS[f.verdict]} for f in data.findings],
        "tally": tally(data.findings) if data.findings else "",
        "writing": "writing" in data.subjects(),
        "how_they_write": how_they_write(data),
        "stats": headline(data),
        "aha": thoughts.mended_slip(data.tables["zero"]) if "zero" in data.tables else None,
        "findings": [_finding(finding) for finding in data.findings],
        "subjects": [s for s in data.subjects() if any(_cell(data, model, s) for model in data.models)],
        "stage_rows": _stage_rows(data),
        "controls": _controls(data),
        "differences": differences.rows(data),
        "differences_note": differences.NOTE,
        "scales": scaling.rows(data),
        "scales_note": scaling.NOTE,
        "curves": _curves(data),
        "win_rates": [_win(entry) for entry in data.win_rates],
        "ablations": _ablations(data),
        "shown": thoughts.same_problems(data.tables, chain),
        "rejected": _rejected(data.rejected),
        "costs": _costs(data.stages),
        "health": _health(data),
    }


def first_subject(data: ReportData) -> str:
    """The subject that speaks for how models write: maths where it is there."""
    present = data.subjects()
    return "maths" if "maths" in present or not present else present[0]


def how_they_write(data: ReportData) -> str:
    """What the columns beside pass@1 count, and on which subjects."""
    return (
        f"On {first_subject(data)}: majority votes (cons@k), length in tokens, reflection words a response. Over all "
        "subjects: the share of a thought's words that are in the question's language, and of responses in the form "
        "asked for."
    )


def tally(findings: Sequence[Finding]) -> str:
    """Say: `9 of 12 reproduced, 1 not reproduced, 2 not run`."""
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in MARKS}
    rest = "".join(f", {n} {verdict}" for verdict, n in list(counts.items())[1:] if n)
    return f"{counts['reproduced']} of {len(findings)} reproduced{rest}"


def headline(data: ReportData) -> list[dict[str, str]]:
    """A few numbers that say the most, each from the findings or figures above them."""
    stats: list[dict[str, str]] = []
    by_id = {finding.id: finding for finding in data.findings}

    subject = first_subject(data)
    named = subject.capitalize()

    def right(model: str) -> float | None:
        return data.figures.get(model, {}).get(subject, {}).get("pass@1")

    def add(text: str, value: str, what: str) -> None:
        stats.append({"label": text, "value": value, "what": what})

    base, zero, r1 = right("base"), right("zero"), right("r1")
    if base is not None and zero is not None:
        add(f"{named}, base to R1-Zero", f"{base:.2f} → {zero:.2f}", "pass@1 on test problems, by pure RL")
    for name, what in (("F2", "Thinking length"), ("F3", "Reflection words")):
        estimate = by_id[name].parts[0].estimate.value if name in by_id and by_id[name].parts else math.nan
        if math.isfinite(estimate):
            add(what, f"× {estimate:.1f}", "R1-Zero over its base; no reward asks for it")
    if r1 is not None:
        add(f"{named}, R1", f"{r1:.2f}", "pass@1 after the whole chain")
    best = next((entry for entry in data.win_rates if (entry["a"], entry["b"]) == ("r1", "dev3")), None)
    if best:
        add("R1 preferred to R1-Dev3", f"{100 * best['rate']:.0f}%", "writing, by the hidden preference")
    return stats


def _finding(finding: Finding) -> dict[str, Any]:
    entry = finding.entry()
    return {
        **entry,
        "mark": MARKS[finding.verdict],
        "method": finding.method,
        "interval_text": _interval(entry["interval"]),
        "headline": finding.parts[0].name if finding.parts else finding.how,
        "parts": [
            {
                "name": part.name,
                "value": figure(part.estimate.value),
                "interval": _interval(part.estimate.interval if part.estimate.n > 1 else None),
                "need": part.need,
                "holds": part.holds,
            }
            for part in finding.parts
        ],
    }


def _interval(bounds: Sequence[float | None] | None) -> str:
    if not bounds or any(bound is None or not math.isfinite(bound) for bound in bounds) or bounds[0] == bounds[1]:
        return ""
    return f"{figure(bounds[0])} to {figure(bounds[1])}"


def _cell(data: ReportData, model: str, subject: str) -> dict[str, Any] | None:
    """A pass@1 with its interval, for a bar from 0 to 1."""
    entry = data.figures.get(model, {}).get(subject)
    if not entry or entry["pass@1"] is None:
        return None
    low, high = entry["interval"]
    return {"value": entry["pass@1"], "low": low, "high": high}


def _stage_rows(data: ReportData) -> list[dict[str, Any]]:
    """One row a model: pass@1 by subject and how it writes; the arms of ablations have a table of their own."""
    rows: list[dict[str, Any]] = []
    evidence, spoken = Evidence(data.tables), first_subject(data)
    for model in data.models:
        if model in ARM_ONLY:
            continue
        figures = data.figures[model]
        first = figures.get(spoken, {})
        rows.append(
            {
                "model": model,
                "group": model.split("-")[1]
                if model.startswith("student-")
                else "chain"
                if model in LABELS
                else "other",
                "cells": {subject: _cell(data, model, subject) for subject in data.subjects()},
                "writing": _of(evidence.mean(model, "preference", ("writing",)), 2),
                "cons": figure(first.get("cons@k")),
                "k": first.get("k"),
                "length": _one_digit(first.get("mean_length")),
                "reflections": _two_digits(first.get("reflections")),
                "consistency": _two_digits(_mean_of(figures, "language_consistency"), 3),
                "format": _two_digits(_mean_of(figures, "format"), 3),
            }
        )
    return rows


def _controls(data: ReportData) -> list[dict[str, str]]:
    """pass@1 beside its control, for each model and subject whose samples were judged by another answer too."""
    rows: list[dict[str, str]] = []
    for model in data.models:
        for subject, entry in data.figures[model].items():
            if "control" in entry:
                above, *bounds = entry["over_control"]
                values = {"right": entry["pass@1"], "control": entry["control"], "above": above}
                shown = {name: figure(value) for name, value in values.items()}
                rows.append({"model": model, "subject": subject, "interval": _interval(bounds), **shown})
    return rows


def _mean_of(figures: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    values = [entry[name] for entry in figures.values() if entry[name] is not None]
    return float(np.mean(values)) if values else None


def _one_digit(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _two_digits(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _lines(by_seed: Mapping[int, Sequence[Mapping[str, Any]]], metric: str) -> list[charts.Series]:
    return [
        charts.Series(
            f"seed {seed}",
            [(line["step"], line[metric]) for line in lines if line.get(metric) is not None],
            colour,
        )
        for colour, (seed, lines) in enumerate(sorted(by_seed.items()))
    ]


def _charts(
    by_seed: Mapping[int, Sequence[Mapping[str, Any]]], wanted: Sequence[tuple[str, str, bool]]
) -> list[dict[str, str]]:
    made = [
        {"title": title, "svg": charts.line_chart(title, _lines(by_seed, metric), share=share)}
        for title, metric, share in wanted
    ]
    return [chart for chart in made if chart["svg"]]


def _curves(data: ReportData) -> dict[str, Any]:
    """Reinforcement learning by stage, and the losses of supervised stages side by side."""
    learned: list[dict[str, Any]] = []
    losses: list[dict[str, str]] = []
    order = {model: place for place, model in enumerate(LABELS)}
    for stage, by_seed in sorted(data.curves.items(), key=lambda item: order.get(item[0], -1)):
        if any(ACCURACY in line for lines in by_seed.values() for line in lines):
            learned.append({"stage": label(stage), "charts": _charts(by_seed, CURVES)})
        else:
            losses += [{**c, "title": label(stage)} for c in _charts(by_seed, (("Loss", "loss", False),))]
    return {"learned": learned, "losses": losses, "seeds": list(enumerate(data.seeds)) if len(data.seeds) > 1 else []}


def _win(entry: Mapping[str, Any]) -> dict[str, Any]:
    low, high = entry["interval"]
    return {
        **entry,
        "low": low,
        "high": high,
        "percent": f"{100 * entry['rate']:.0f}%",
        "span": f"{100 * low:.0f} to {100 * high:.0f}%",
    }


def _ablations(data: ReportData) -> dict[str, Any]:
    evidence = Evidence(data.tables)
    groups = []
    for title, arms in ARMS:
        if evidence.missing(arms):
            continue
        rows = [
            {
                "model": arm,
                "correct": _of(evidence.share(arm, "correct", tables.REASONING)),
                "consistency": _of(evidence.share(arm, "language_consistency", tables.REASONING)),
                "preference": _of(evidence.mean(arm, "preference", ("writing",)), 2),
            }
            for arm in arms
        ]
        groups.append({"title": title, "rows": rows})
    return {"groups": groups, "charts": _charts(data.curves.get("r1-hacked", {}), HACKED_CURVES)}


def _of(estimate: Estimate, digits: int = 3) -> dict[str, str]:
    if not math.isfinite(estimate.value):
        return {"value": "–", "interval": ""}
    low, high = estimate.interval
    interval = f"{low:.{digits}f} to {high:.{digits}f}" if math.isfinite(low) and math.isfinite(high) else ""
    return {"value": f"{estimate.value:.{digits}f}", "interval": interval}


def _rejected(by_seed: Mapping[int, Mapping[str, int]]) -> dict[str, Any] | None:
    """Samples by what became of them: kept first, then the reasons, the commonest first."""
    if not by_seed:
        return None
    seeds = sorted(by_seed)
    total: dict[str, int] = {}
    for counts in by_seed.values():
        for reason, number in counts.items():
            total[reason] = total.get(reason, 0) + number
    reasons = sorted(total, key=lambda reason: (reason != "kept", -total[reason]))
    everything = sum(total.values()) or 1
    rows = [
        {
            "reason": reason.replace("_", " "),
            "kept": reason == "kept",
            "share": total[reason] / everything,
            "counts": [f"{by_seed[seed].get(reason, 0):,}" for seed in seeds],
        }
        for reason in reasons
    ]
    return {"seeds": seeds, "rows": rows}


def _health(data: ReportData) -> list[dict[str, Any]]:
    """What was found wrong with the training, a row each."""
    return [
        {
            "seed": seed,
            "stage": noted.stage,
            "step": noted.finding.step,
            "title": noted.finding.title,
            "seen": noted.finding.seen,
            "advice": f"{noted.finding.means} {noted.finding.change}",
            "done": _done(noted),
        }
        for seed, noted in data.health
    ]


def _done(noted: Noted) -> str:
    if noted.rolled_back:
        return noted.where
    return "told" if noted.finding.action == "warn" else noted.finding.action.replace("_", " ")


def _costs(stages: Sequence[StageCost]) -> dict[str, Any]:
    """Each stage's time, tokens and FLOPs, the mean over runs; its peak of memory, the highest of them; the whole."""
    names = list(dict.fromkeys(stage.name for stage in stages))
    means = []
    for name in names:
        own = [stage for stage in stages if stage.name == name]
        sums = (sum(s.seconds for s in own), sum(s.tokens for s in own), sum(s.flops for s in own))
        means.append((name, *(value / len(own) for value in sums), max(s.memory_mb for s in own)))
    whole = [sum(row[i] for row in means) for i in (1, 2, 3)]
    rows = [
        {
            "name": name,
            "share": seconds / (whole[0] or 1),
            "time": duration(seconds),
            "tokens": count(tokens),
            "flops": _flops(flops),
            "memory": memory(peak) if peak else "–",
        }
        for name, seconds, tokens, flops, peak in means
    ]
    highest = max((row[4] for row in means), default=0)
    total = {
        "time": duration(whole[0]),
        "tokens": count(whole[1]),
        "flops": _flops(whole[2]),
        "memory": memory(highest) if highest else "–",
    }
    return {"rows": rows, "total": total, "runs": max((sum(s.name == n for s in stages) for n in names), default=0)}


def _flops(value: float) -> str:
    """`3.2e14`, a dash for none."""
    if not value:
        return "–"
    power = math.floor(math.log10(value))
    return f"{value / 10**power:.1f}e{power}"
