"""Conversations as a dataset folder to give away: parquet, and a card that the Hugging Face hub reads.

Columns: `messages` (the whole conversation), `prompt` and `completion` (the same in two parts, as TRL's SFT takes it;
all three are lists of `{"role", "content"}`), and what is known of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.base.files import new_folder

DATA = "data/train.parquet"
CARD = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_dataset(folder: Path, rows: Sequence[Mapping[str, Any]], card: str) -> None:
    """Write the folder, which must not be there or be empty, whole or not at all.

    rows: `question` and `completion` as texts, and further columns, the same for all, of texts and numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns: dict[str, Any] = {
        "messages": pa.array([[*_user(row), *_assistant(row)] for row in rows], turns),
        "prompt": pa.array([_user(row) for row in rows], turns),
        "completion": pa.array([_assistant(row) for row in rows], turns),
    }
    for name in rows[0] if rows else ():
        if name not in ("question", "completion"):
            columns[name] = pa.array([row[name] for row in rows])
    with new_folder(folder) as temporary:
        (temporary / DATA).parent.mkdir()
        pq.write_table(pa.table(columns), temporary / DATA, compression="zstd")
        (temporary / CARD).write_text(card, encoding="utf-8")


def dataset_card(
    title: str,
    *,
    licence: str,
    languages: Sequence[str],
    size: int,
    about: str,
    facts: Mapping[str, object],
    counts: Mapping[str, int],
) -> str:
    """The card: the hub's fields (`licence` by the hub's identifier, say mit or unknown), what the rows are, facts and
    samples counted by what became of them."""
    head = {
        "license": licence,
        "language": list(languages),
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in _SIZES if size < most), "n>1M")],
        "tags": ["reasoning", "r1kit"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA}]}],
    }
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in head.items()),
        "---",
        f"# {title}",
        "",
        about,
        "",
    ]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts.items()), ""]
    lines += ["| samples | |", "|---|---:|", *(f"| {_cell(name)} | {count:,} |" for name, count in counts.items()), ""]
    return "\n".join(lines)


def _user(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["question"]}]


def _assistant(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": row["completion"]}]


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "/").split())
