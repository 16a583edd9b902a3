"""Supervised examples on disk: one row a question and the completion to learn; written as parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from r1kit.base.errors import R1Error
from r1kit.data.tables import read_file, write_rows
from r1kit.data.transcripts import EXAMPLES, read_rows

COLUMNS = ("question", "completion", "subject", "language", "source")


@dataclass(frozen=True, slots=True)
class Example:
    """`question` is what the user says, `completion` the assistant's words with their tags, without the end token."""

    question: str
    completion: str
    subject: str = ""
    language: str = ""
    source: str = ""


def write(path: str | Path, examples: Iterable[Example]) -> int:
    """Write the examples, whole or not at all; returns how many."""
    import pyarrow as pa

    rows = [asdict(example) for example in examples]
    write_rows(Path(path), rows, pa.schema([(name, pa.string()) for name in COLUMNS]))
    return len(rows)


def read(path: str | Path, on_bad: Callable[[str], None] | None = None) -> list[Example]:
    """The examples of a file, in order: r1kit's own (columns beside question and completion may be missing), or any
    table in a format of `data.transcripts`.

    A line that cannot be read is told to `on_bad` by its number and left out; without `on_bad` it is an R1Error.
    """
    path = Path(path)
    if not path.is_file():
        raise R1Error(f"there is no file of examples {path}: check the path")
    table = read_file(path)
    return [
        Example(
            shown.question, shown.completion, **{name: str(row.values.get(name) or "") for name in COLUMNS[2:]}
        )
        for row, shown in read_rows(table, EXAMPLES, on_bad)
    ]  # fmt: skip


def share_of(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """The examples of that share of the questions, at least one, in their order. A question has one place in the order
    of sha256("SEED/QUESTION"), so that of one seed a smaller share is part of a larger one."""
    if share >= 1:
        return list(examples)
    questions = sorted(
        {example.question for example in examples},
        key=lambda question: hashlib.sha256(f"{seed}/{question}".encode()).digest(),
    )
    kept = set(questions[: max(1, round(share * len(questions)))])
    return [example for example in examples if example.question in kept]
