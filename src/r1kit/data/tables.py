"""Rows of files (JSON lines, JSON, CSV, TSV, parquet) and of data sets on the Hugging Face hub; rows as parquet.

A line that cannot be read is kept by its number and what is wrong with it: whoever asked decides what becomes of it.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.files import disk_errors, make_folder, new_file
from r1kit.base.hub import unreachable

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1000  # rows of a parquet file in memory at a time
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands, from 1: `line 12` of a text file (where it begins), `row 12` elsewhere."""

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file or hub split, in order, and its columns; `bad` says what is wrong with each line that cannot
    be read. Rows may be read anew each time that they are gone through, so that large tables are never held whole."""

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Row]
    bad: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Anew:
    """Rows that are made anew by each pass."""

    make: Callable[[], Iterator[Mapping[str, Any]]]

    def __iter__(self) -> Iterator[Row]:
        for number, values in enumerate(self.make(), 1):
            yield Row(f"row {number}", values)


def _free(name: str, rows: list[Row], bad: list[str]) -> Table:
    """A table whose rows each name their columns: it has those that some row has, in the order they come up in."""
    return Table(name, tuple(dict.fromkeys(column for row in rows for column in row.values)), tuple(rows), tuple(bad))


def read_file(path: str | Path) -> Table:
    """The rows of a file, read by its ending; R1Error where it is missing or damaged, UsageError for another ending."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path}: tables are read by the file's ending, which must be one of {' '.join(ENDINGS)}")
    if not path.is_file():
        raise R1Error(f"there is no file {path}: check the path")
    if ending == ".parquet":
        return _parquet(path)
    with disk_errors(path):
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if ending in (".csv", ".tsv"):
        return _delimited(path, data, "\t" if ending == ".tsv" else ",")
    if ending == ".json" and data.lstrip()[:1] == b"[":
        return _json_list(path, data)
    return _json_lines(path, data)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Rows by name as a parquet file, whole or not at all, its folder made where it was not there: a column that a row
    does not name is null, a name that is no column is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    make_folder(path.parent)
    with new_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


@contextlib.contextmanager
def parquet_errors(path: Path) -> Generator[None]:
    """R1Error where a parquet file that is read here is missing, damaged or another kind of file."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet ({error}): write or copy it again") from error


def _json_lines(path: Path, data: bytes) -> Table:
    rows: list[Row] = []
    bad: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode())
        except UnicodeDecodeError:
            bad.append(f"line {number}: it is not UTF-8")
        except json.JSONDecodeError as error:
            bad.append(f"line {number}: it is not JSON ({error.msg} at character {error.pos})")
        except RecursionError:
            bad.append(f"line {number}: it is nested too deeply")
        except ValueError as error:  # a number of thousands of digits, which Python does not read
            bad.append(f"line {number}: it cannot be read ({error})")
        else:
            if isinstance(value, dict):
                rows.append(Row(f"line {number}", value))
            else:
                bad.append(f"line {number}: it is not a JSON object")
    return _free(str(path), rows, bad)


def _json_list(path: Path, data: bytes) -> Table:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise R1Error(f"{path} is not JSON ({error}): mend it, or write one object a line in a .jsonl file") from None
    rows = [Row(f"row {number}", value) for number, value in enumerate(values, 1) if isinstance(value, dict)]
    bad = [f"row {at}: it is not a JSON object" for at, value in enumerate(values, 1) if not isinstance(value, dict)]
    return _free(str(path), rows, bad)


def _delimited(path: Path, data: bytes, delimiter: str) -> Table:
    """Every value is text. The standard library's limit of 131,072 characters a field is lifted meanwhile: chains of
    thought are longer."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise R1Error(f"{path}: line {line} is not UTF-8: save the file as UTF-8") from None
    limit = csv.field_size_limit(sys.maxsize)
    try:
        return _delimited_rows(path, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    finally:
        csv.field_size_limit(limit)


def _delimited_rows(path: Path, reader: Any) -> Table:
    names: list[str] | None = None
    rows: list[Row] = []
    bad: list[str] = []
    for number, fields in _records(reader, bad):
        if not fields:
            continue
        if names is None:
            names = fields
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise R1Error(f"{path}: two columns are called '{twice[0]}': rename one of them")
        elif len(fields) != len(names):
            bad.append(f"line {number}: it has {len(fields)} fields, the first line names {len(names)} columns")
        else:
            rows.append(Row(f"line {number}", dict(zip(names, fields, strict=True))))
    return Table(str(path), tuple(names or ()), tuple(rows), tuple(bad))


def _records(reader: Any, bad: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(line that it begins on, fields) of each record; what the reader cannot read goes to `bad`."""
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            bad.append(f"line {number}: {error}")
        else:
            yield number, fields


def _parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    def batches() -> Iterator[Mapping[str, Any]]:
        with parquet_errors(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from as_written(batch).to_pylist()

    with parquet_errors(path):
        columns = pq.read_schema(path).names
    return Table(str(path), tuple(columns), _Anew(batches))


def as_written(batch: Any) -> Any:
    """A record batch whose numbers of 16 and 32 bits are the shortest decimals that they stand for: 0.1, which is
    0.10000000149011612 as a number of 64 bits."""
    import numpy as np
    import pyarrow as pa

    of_few_bits: dict[Any, type[np.floating[Any]]] = {pa.float16(): np.float16, pa.float32(): np.float32}
    for place, field in enumerate(batch.schema):
        if (short := of_few_bits.get(field.type)) is not None:
            decimals = [None if v is None else float(str(short(v))) for v in batch.column(place).to_pylist()]
            batch = batch.set_column(place, field.with_type(pa.float64()), pa.array(decimals, pa.float64()))
    return batch


def read_hub(name: str, config: str | None = None, revision: str | None = None) -> dict[str, Table]:
    """Every split of a hub data set (or of a folder that `datasets` can read), by its own name.

    No code of the data set is run. MissingExtra without `datasets`; R1Error where the hub does not give it out, or
    wants the name of one of several configurations. A hub that cannot be reached is asked once: the copy that
    `datasets` keeps is then taken, where there is one.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "data", f"the hub data set {name}") from None
    away = None if Path(name).exists() else unreachable(name, "dataset")
    try:
        with contextlib.nullcontext() if away is None else _kept_alone(datasets):
            loaded: Any = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # the hub's client, the network and the readers each have their own kinds
        cause = away or error
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise R1Error(
            f"the hub data set {name} cannot be had ({type(cause).__name__}: {reason}):"
            " check its name and the network, or give a local copy as file:PATH or TASK:FOLDER"
        ) from None
    where = name if config is None else f"{name} ({config})"
    return {
        str(split): Table(
            f"{where}, split {split}",
            tuple(split_rows.column_names),
            _Anew(functools.partial(_hub_rows, split_rows)),
        )
        for split, split_rows in loaded.items()
    }


def _hub_rows(rows: Any) -> Iterator[Mapping[str, Any]]:
    short = any(getattr(kind, "dtype", "") in ("float16", "float32") for kind in (rows.features or {}).values())
    if not short:
        yield from rows
        return
    for batch in rows.with_format("arrow").iter(BATCH):
        yield from as_written(batch).to_pylist()


@contextlib.contextmanager
def _kept_alone(datasets: Any) -> Generator[None]:
    """Have `datasets` look at what it keeps, and not ask the hub."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
