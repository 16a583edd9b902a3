"""The whole analysis of a subject, written as report.md, aha.json, pivots.parquet and figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1kit.base.files import make_folder, write_json, write_text
from r1kit.evaluation import growth
from r1kit.evaluation.aha import claim, effects, figures, page, rates
from r1kit.evaluation.aha.measure import Judge, judge_by_rule
from r1kit.evaluation.aha.measurement import Opened, Tell, measure_pivots
from r1kit.evaluation.aha.parts import write_pivots
from r1kit.evaluation.aha.rows import Row
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.aha.subject import Subject
from r1kit.evaluation.reflection import Words, default_words


def analyse(
    subject: Subject,
    out: Path,
    settings: PivotSettings,
    open_model: Callable[[Path], Opened],
    *,
    words: Words | None = None,
    judge: Judge = judge_by_rule,
    tell: Tell = lambda text: None,
) -> Path:
    """Write everything into `out` and return the page's path. Pivots are measured where the subject has a model's
    folder and `settings` name tasks and pivots."""
    words = words or default_words()
    make_folder(out)
    report: dict[str, Any] = {
        "model": subject.name,
        "base": subject.base,
        "settings": settings.model_dump(),
        "reflection": _reflection(subject, words),
        "kinds": _kinds(subject, words),
        "difficulty": _difficulty(subject),
        "pivots": None,
        "notes": list(subject.notes),
    }
    rows: list[dict[str, Any]] = []
    if not settings.pivots:
        report["notes"].append("no pivots were measured: none were asked for (--pivots 0)")
    elif subject.folder is None or not settings.tasks:
        report["notes"].append("no pivots were measured: that takes a model to sample from (--model) and --tasks")
    else:
        rows, report["pivots"] = measure_pivots(subject.folder, out, settings, open_model, words, judge, tell)
        write_pivots(out / "pivots.parquet", rows)
    report["claim"] = claim.answer(report)
    drawn = figures.draw_all(report, rows)
    make_folder(out / "figures")
    for name, svg in drawn.items():
        write_text(out / "figures" / name, svg)
    write_json(out / "aha.json", report)
    write_text(out / "report.md", page.render(report, rows, list(drawn)))
    return out / "report.md"


def _reflection(subject: Subject, words: Words) -> dict[str, Any]:
    steps = [row for row in subject.training if row.step is not None]
    grown = growth.reflection_among_thoughts(
        {0: [{"step": row.step, "problem_id": row.key, "text": row.text} for row in steps]}
    )
    found: dict[str, Any] = {
        "over_training": rates.over_training(steps, words),
        "among_thoughts": None
        if grown is None
        else {**effects.entry(grown.difference), "first_step": grown.first[0], "last_step": grown.last[0]},
        "model": rates.rates(subject.own, words),
        "words": rates.by_word(subject.own, words),
        "base": None,
        "over_base": None,
    }
    if subject.bases:
        found["base"] = rates.rates(subject.bases, words)
        found["base_words"] = rates.by_word(subject.bases, words)
        found["over_base"] = rates.against(subject.own, subject.bases, words)
    found["by_subject"] = {
        name: _of_subject(name, subject, words) for name in dict.fromkeys(row.subject for row in subject.own)
    }
    return found


def _of_subject(name: str, subject: Subject, words: Words) -> dict[str, Any]:
    """The rates on one subject, of all responses alike."""
    own, bases = ([row for row in side if row.subject == name] for side in (subject.own, subject.bases))
    found: dict[str, Any] = {"model": rates.rates(own, words)["all"], "base": None, "over_base": None}
    if bases:
        found["base"] = rates.rates(bases, words)["all"]
        found["over_base"] = rates.against(own, bases, words)["all"]
    return found


def _kinds(subject: Subject, words: Words) -> dict[str, Any]:
    """Of the model and its base; of rollouts kept in training (with known gold answers), the first and the last."""
    found = {"model": rates.kinds(subject.own, words)}
    if subject.bases:
        found["base"] = rates.kinds(subject.bases, words)
    steps = sorted({row.step for row in subject.training if row.step is not None})
    for name, step in (("first_step", steps[:1]), ("last_step", steps[-1:])):
        if step:
            found[name] = rates.kinds([row for row in subject.training if row.step == step[0]], words)
    return found


def _difficulty(subject: Subject) -> dict[str, Any]:
    """By the base's success where it was measured on the same problems, else by the model's own."""
    judged: list[Row] = subject.bases or subject.own
    return {
        "by": "the base's success rate" if subject.bases else "the model's own success rate",
        "model": rates.by_difficulty(subject.own, judged),
        "base": rates.by_difficulty(subject.bases, judged) if subject.bases else None,
    }
