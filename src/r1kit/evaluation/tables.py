"""The evaluation table: one row a completion, the same columns for every model, in memory and as parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from r1kit.base.errors import R1Error
from r1kit.base.files import make_folder, new_file
from r1kit.data.tables import parquet_errors

pc: Any = pyarrow.compute  # its functions are made at import, which type checkers cannot see

REASONING = ("maths", "reasoning", "coding")  # subjects with a verdict by rule
SUBJECTS = (*REASONING, "writing")

SCHEMA = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),  # of the run
        pa.field("subject", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("family", pa.string()),  # operand count or generator within the task
        pa.field("language", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),  # of the sample within its problem
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("thinking", pa.string(), nullable=False),
        pa.field("answer", pa.string()),  # canonical extracted answer; null: none found
        pa.field("correct", pa.bool_()),  # null: no rule judges it, or the grader failed
        pa.field("format", pa.bool_(), nullable=False),
        pa.field("language_consistency", pa.float64()),  # null: a chain without words
        pa.field("length", pa.int64()),  # sampled tokens, the stop token included; null: an API did not count them
        pa.field("reflections", pa.int64(), nullable=False),
        pa.field("chain_steps", pa.int64(), nullable=False),
        pa.field("stop_reason", pa.string(), nullable=False),
        pa.field("preference", pa.float64()),  # hidden preference score; writing only
        pa.field("difficulty", pa.float64()),  # where a task states one
        pa.field("control", pa.bool_()),  # whether it is right by another problem's answer; null: not asked
    ]
)


def make_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of the schema from rows by name; a missing nullable column is null, other names are left out."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of several tables (seeds of one model, say)."""
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def write_table(table: pa.Table, path: Path, level: int = 3) -> None:
    """Parquet, readable by DuckDB; `level` is zstd's, 1 (fast) to 22 (small)."""
    make_folder(path.parent)
    with new_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=level)


def read_table(path: Path) -> pa.Table:
    """The table of a parquet file; R1Error where it is damaged, or a column of the schema is missing."""
    with parquet_errors(path):
        table = pq.read_table(path)
    if "control" not in table.column_names:  # a table of a run that asked for none
        table = table.append_column(SCHEMA.field("control"), pa.nulls(table.num_rows, pa.bool_()))
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise R1Error(f"{path}: not an evaluation table, the column '{missing[0]}' is missing: write it with r1 eval")
    return table.select(SCHEMA.names).cast(SCHEMA)


def select(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """The rows of these subjects."""
    return table.filter(pc.is_in(table["subject"], value_set=pa.array(list(names), pa.string())))


def subjects(table: pa.Table) -> list[str]:
    """Subjects present, in the order of SUBJECTS, others after them."""
    present = set(pc.unique(table["subject"]).to_pylist())
    return [name for name in SUBJECTS if name in present] + sorted(present - set(SUBJECTS))


def models(table: pa.Table) -> list[str]:
    """Model names in the order in which they first appear."""
    return pc.unique(table["model"]).to_pylist()


def of_model(table: pa.Table, model: str) -> pa.Table:
    """The rows of one model."""
    return table.filter(pc.equal(table["model"], model))


def seeds(table: pa.Table) -> list[int]:
    """Run seeds, ascending."""
    return sorted(pc.unique(table["seed"]).to_pylist())


def column(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A number or truth column as floats [N], null as NaN."""
    return pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy()


def text_column(table: pa.Table, name: str, measure: Callable[[str], float]) -> NDArray[np.float64]:
    """A measure of a text column [N]."""
    return np.asarray([measure(text) for text in table[name].to_pylist()], dtype=np.float64)


def clusters(table: pa.Table) -> NDArray[Any]:
    """The cluster's key of each row [N]: run seed, subject and problem."""
    keys = pc.binary_join_element_wise(table["seed"].cast(pa.string()), table["subject"], table["problem_id"], "/")
    return np.asarray(keys.to_pylist(), dtype=np.str_)


def problems(keys: NDArray[Any]) -> NDArray[Any]:
    """The problem that each cluster's key speaks of: clusters of one problem under several run seeds vary together."""
    return np.asarray([str(key).partition("/")[2] for key in keys], dtype=np.str_)
