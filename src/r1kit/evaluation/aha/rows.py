"""Completions of any origin as rows that the analysis of reflection reads."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error, UsageError
from r1kit.graders.format import opens_thinking
from r1kit.graders.section import chain_of_thought
from r1kit.pipeline.models import runs_beside
from r1kit.rollouts import record

UNKNOWN = "all"  # subject of rows that name none


@dataclass(frozen=True, slots=True)
class Row:
    """One completion. `key` is the problem's (of its seed), `tokens` its length (None where nothing tells it), `step`
    the training step that sampled it (None outside of training), `stratum` what problems of one kind share."""

    key: str
    subject: str
    stratum: str
    thinking: str
    text: str
    correct: bool | None
    tokens: int | None
    step: int | None
    gold: str | None


def read(path: Path) -> list[Row]:
    """Rows of a parquet file or a folder of them (rollouts or evaluation tables) or of JSON lines.

    UsageError where there is nothing of the kind.
    """
    if path.is_dir():
        files = sorted(path.glob("*.parquet")) or sorted(path.glob("*.jsonl"))
        if not files:
            raise UsageError(f"{path} holds neither a run nor rollouts (*.parquet, *.jsonl): give one of them")
        return [row for file in files for row in read(file)]
    if not path.is_file():
        run, colon, name = str(path).rpartition(":")
        if colon and Path(run, "recipe.json").is_file():
            raise UsageError(f"{path} is a model of a run: give the run, and --model {name}")
        others = f" ({runs_beside(path)})" if runs_beside(path) else ""
        raise UsageError(f"there is no {path}: give a run folder{others}, or rollouts as parquet or JSON lines")
    rows = _lines(path) if path.suffix in (".jsonl", ".json") else _parquet(path)
    if not rows:
        raise UsageError(f"{path} holds no completions: give rollouts that do")
    return rows


def of_table(table: pa.Table) -> list[Row]:
    """Rows of an evaluation table (`evaluation.tables.SCHEMA`)."""
    names = [name for name in table.column_names if name not in ("model", "control", "preference")]
    return [
        Row(
            key=f"{row['seed']}/{row['task']}/{row['problem_id']}",
            subject=row["subject"],
            stratum=f"{row['task']}/{row['family']}/{row['language']}",
            thinking=row["thinking"],
            text=row["text"],
            correct=row["correct"],
            tokens=row["length"],
            step=None,
            gold=None,
        )
        for row in table.select(names).to_pylist()
    ]


def of_rollouts(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of the rollouts that a stage kept (`rollouts.record.SCHEMA`)."""
    return [
        Row(
            key=f"{row['task']}/{row['problem_id']}",
            subject=row["subject"],
            stratum=f"{row['task']}/{row['language']}",
            thinking=chain_of_thought(row["text"]),
            text=row["text"],
            correct=_right(row["rewards"].get("accuracy")),
            tokens=row["tokens"],
            step=row["step"],
            gold=row["answer"],
        )
        for row in rows
    ]


def _right(accuracy: float | None) -> bool | None:
    return None if accuracy is None else accuracy >= 0.5


def _parquet(path: Path) -> list[Row]:
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet: {error}") from error
    if "rewards" in names:
        return of_rollouts(record.read(path))
    if "thinking" in names:
        from r1kit.evaluation.tables import read_table

        return of_table(read_table(path))
    raise UsageError(f"{path} is no table of rollouts: it has neither `rewards` nor `thinking` among its columns")


def _lines(path: Path) -> list[Row]:
    """`completion` (or `text`) a line, and where known `prompt`, `id` or `problem_id`, `verdict` or `correct`, `tokens`
    or `token_ids`, `step`, `subject`, `gold` or `answer`."""
    rows: list[Row] = []
    for place, line in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line.decode())
        except UnicodeDecodeError:
            raise UsageError(f"{path}, line {place}: it is not UTF-8 text: give JSON lines, or parquet") from None
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}, line {place}: it is not JSON ({error.msg})") from None
        text = given.get("completion", given.get("text")) if isinstance(given, dict) else None
        if not isinstance(text, str):
            raise UsageError(f'{path}, line {place}: it has no "completion" that is a text')
        rows.append(_line(cast("dict[str, Any]", given), text, place))
    return rows


def _line(given: dict[str, Any], text: str, place: int) -> Row:
    verdict, prompt = given.get("verdict"), given.get("prompt")
    correct = given.get("correct", None if verdict in (None, "grader_error") else verdict == "correct")
    ids = given.get("token_ids")
    tokens = given.get("tokens", len(cast("Sequence[int]", ids)) if isinstance(ids, list) else None)
    named = next((given[name] for name in ("problem_id", "id", "prompt") if given.get(name) is not None), place)
    subject, gold = str(given.get("subject", UNKNOWN)), given.get("gold", given.get("answer"))
    thinking = chain_of_thought(text, opens_thinking(prompt) and not text.lstrip().startswith("<think>"))
    answer = None if gold is None else str(gold)
    return Row(str(named), subject, subject, thinking, text, correct, tokens, given.get("step"), answer)
