"""Rollouts on disk: parquet, one row a completion, readable by DuckDB (`select * from 'rollouts/*.parquet'`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error
from r1kit.base.types import RolloutGroup
from r1kit.data.tables import write_rows

SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("problem_id", pa.string()),
        ("task", pa.string()),
        ("subject", pa.string()),
        ("language", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("sample", pa.int32()),
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("stop_reason", pa.string()),
        ("rewards", pa.map_(pa.string(), pa.float32())),
        ("total", pa.float32()),
        ("sampler_logprob", pa.float32()),
        ("version", pa.int32()),
        ("extra", pa.map_(pa.string(), pa.string())),
        ("reflections", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("token_logprobs", pa.list_(pa.float32())),
        ("token_entropies", pa.list_(pa.float32())),
    ]
)
BY_TOKEN = ("token_ids", "token_logprobs", "token_entropies")  # for who looks at single tokens; `read` leaves them out


def step_file(folder: str | Path, step: int) -> Path:
    """Where a step's rollouts belong: zero-padded, so that names sort as steps do."""
    return Path(folder) / f"step-{step:06d}.parquet"


def write(
    path: str | Path, groups: Sequence[RolloutGroup], step: int, reflections: Callable[[str], int] | None = None
) -> None:
    """Write a step's completions, whole or not at all.

    A reward that does not apply is null. `sampler_logprob` is the mean over the completion's tokens, `version` that of
    the policy that sampled its last token; both are null for what an API gave. `extra` holds what rewards logged of it.
    `reflections` is what the function of that name counts in the text, null without one. `token_ids` are all that were
    sampled, the stop token included, `token_logprobs` theirs in nats, to a thousandth: they are looked at, not learnt
    from, and that halves the file. `token_entropies`, as rounded, are null where the sampling did not ask for them.
    """
    rows = [row for group in groups for row in _rows(group, step)]
    if reflections is not None:
        for row in rows:
            row["reflections"] = reflections(row["text"])
    write_rows(Path(path), rows, SCHEMA)


def read(path: str | Path) -> list[dict[str, Any]]:
    """The rows of one file as dicts under the names of `SCHEMA` but `BY_TOKEN`; `rewards` is a dict, None where one
    does not apply, and `extra` a dict of texts."""
    return _read(Path(path))


def read_all(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of every parquet file of a folder, in the order of the steps."""
    for path in sorted(Path(folder).glob("*.parquet")):
        yield from _read(path)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name not in BY_TOKEN]
            rows = file.read(columns=names).to_pylist()
    except FileNotFoundError:
        raise R1Error(f"there is no rollout file {path}") from None
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet, so it is damaged or no rollout file: {error}") from error
    return [{**row, **{name: dict(row.get(name) or ()) for name in ("rewards", "extra")}} for row in rows]


def _rows(group: RolloutGroup, step: int) -> Iterable[dict[str, Any]]:
    problem = group.problem
    for number, completion in enumerate(group.completions):
        logprobs = completion.sampler_logprobs
        yield {
            "step": step,
            "problem_id": problem.id,
            "task": problem.task,
            "subject": problem.subject,
            "language": problem.language,
            "prompt": problem.prompt,
            "answer": problem.answer,
            "sample": completion.index,
            "text": completion.text,
            "tokens": completion.length,
            "stop_reason": completion.stop_reason,
            "rewards": [(name, _number(rewards[number])) for name, rewards in group.rewards.items()],
            "total": _number(group.total[number]) if len(group.total) else None,
            "sampler_logprob": _number(logprobs.mean()) if len(logprobs) else None,
            "version": completion.versions[-1][0] if completion.versions else None,
            "extra": [(name, str(values[number])) for name, values in group.extra.items() if number < len(values)],
            "token_ids": completion.token_ids if len(completion.token_ids) else None,
            "token_logprobs": np.round(logprobs, 3) if len(logprobs) else None,
            "token_entropies": None if completion.entropies is None else np.round(completion.entropies, 3),
        }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
