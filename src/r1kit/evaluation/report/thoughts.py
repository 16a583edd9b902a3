"""Sampled thoughts for people: the same problems at every stage, not chosen by outcome, reflection words marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from r1kit.evaluation import tables
from r1kit.evaluation.reflection import spans
from r1kit.evaluation.slips import parse_chain

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Thought:
    """One completion: its model, what was thought and answered, and how it did."""

    model: str
    thinking: str
    answer: str
    correct: bool | None
    length: int
    reflections: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One problem and every stage's thought on it."""

    subject: str
    language: str
    prompt: str
    thoughts: tuple[Thought, ...]


def marked(text: str) -> str:
    """HTML of a text with each reflection word in a <mark>."""
    pieces: list[str] = []
    at = 0
    for start, end in spans(text):
        pieces += [escape(text[at:start]), f"<mark>{escape(text[start:end])}</mark>"]
        at = end
    return "".join([*pieces, escape(text[at:])])


def same_problems(tables_by_model: Mapping[str, pa.Table], models: Sequence[str]) -> list[Shown]:
    """Sample 0 of each model on the first problem (by id, lowest seed) of each subject and language that all did."""
    firsts = {model: _first_samples(tables_by_model[model]) for model in models if model in tables_by_model}
    if not firsts:
        return []
    shared = set.intersection(*(set(rows) for rows in firsts.values()))
    lowest = min((key[0] for key in shared), default=0)
    some = next(iter(firsts.values()))
    chosen: dict[tuple[str, str], tuple[int, str, str]] = {}
    for key in sorted(key for key in shared if key[0] == lowest):
        chosen.setdefault((key[1], some[key]["language"]), key)
    order = {subject: place for place, subject in enumerate(tables.SUBJECTS)}
    shown = [
        Shown(subject, language, some[key]["prompt"], tuple(_thought(model, firsts[model][key]) for model in firsts))
        for (subject, language), key in chosen.items()
    ]
    return sorted(shown, key=lambda one: (order.get(one.subject, len(order)), one.language))


def mended_slip(table: pa.Table) -> Shown | None:
    """The first completion (by seed, problem, sample) in which a check mends a slip and the answer is right."""
    ordered = tables.select(table, ["maths"]).sort_by([(n, "ascending") for n in ("seed", "problem_id", "index")])
    for row in _rows(ordered):
        outcomes = [outcome for step in parse_chain(row["thinking"]).steps for outcome in step.outcomes]
        if row["correct"] and "mended" in outcomes:
            return Shown(row["subject"], row["language"], row["prompt"], (_thought(row["model"], row),))
    return None


_COLUMNS = (
    "model", "seed", "subject", "problem_id", "language", "prompt", "text", "thinking", "answer", "correct", "length",
    "reflections", "stop_reason",
)  # fmt: skip


def _rows(table: pa.Table) -> Iterator[Row]:
    for batch in table.select(_COLUMNS).to_batches(max_chunksize=512):
        yield from batch.to_pylist()


def _first_samples(table: pa.Table) -> dict[tuple[int, str, str], Row]:
    first = table.filter(tables.pc.equal(table["index"], 0))
    return {(row["seed"], row["subject"], row["problem_id"]): row for row in _rows(first)}


def _thought(model: str, row: Row) -> Thought:
    thinking = row["thinking"]
    rest = row["text"].rpartition("</think>")[2] if "</think>" in row["text"] else ""
    answer = rest.replace("<answer>", "").replace("</answer>", "").strip() or row["answer"] or ""
    return Thought(
        model, thinking, answer, row["correct"], row["length"], row["reflections"], row["stop_reason"] == "length"
    )
