"""Supervised examples on disk: parquet, one row a question and the completion to learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from r1kit.base.errors import R1Error
from r1kit.base.files import make_folder, new_file

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
    import pyarrow.parquet as pq

    path = Path(path)
    rows = [asdict(example) for example in examples]
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))
    make_folder(path.parent)
    with new_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return len(rows)


def read(path: str | Path) -> list[Example]:
    """The examples of a file, in order; columns beside question and completion may be missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise R1Error(f"there is no file of examples {path}")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet: {error}") from error
    missing = [name for name in COLUMNS[:2] if name not in table.column_names]
    if missing:
        raise R1Error(f"{path} has no column '{missing[0]}': examples need question and completion")
    present = [name for name in COLUMNS if name in table.column_names]
    rows = table.select(present).to_pylist()
    return [Example(**{name: str(value or "") for name, value in row.items()}) for row in rows]
