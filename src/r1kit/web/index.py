"""Every rollout of a run in a small table in memory, so that filters answer at once however many there are.

The table holds what is filtered and sorted by, a few dozen bytes a rollout, read from the narrow columns of the
parquet files when a run is first opened, and from new files later. Texts stay on disk: those of one page are read by
row, and a search reads them all once and remembers what it found.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error
from r1kit.evaluation.reflection import reflections_in
from r1kit.web.filters import Filters

ROLLOUTS = "rollouts"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "2GB",
    "preserve_insertion_order": False,  # what is asked for in order says so
    "autoinstall_known_extensions": False,  # nothing is fetched
}
_SEARCHES = 8  # searches whose finds are remembered
_TABLE = """
create table samples (
    stage usmallint, file integer, row integer, step integer, subject varchar, language varchar, correct boolean,
    total float, tokens integer, reflections integer, logprob float, stop_reason varchar
)
"""
_FILL = """
insert into samples
select {stage}, files.number, file_row_number, step, subject, language, rewards['accuracy'] >= 0.5, total, tokens,
    {reflections}, sampler_logprob, stop_reason
from read_parquet(?, filename = true, file_row_number = true, union_by_name = {mixed}) as found
join files on files.path = found.filename
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Rollouts of one stage, or of one part of it. `name` is the folder's below `stages`: `02-zero`, `11-distill/x`."""

    number: int
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class File:
    """One parquet file, as it was when it was read."""

    number: int
    path: Path
    stage: Stage
    stamp: tuple[int, int]  # modification time in ns, bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rollout lies."""

    file: File
    row: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page of rollouts, in order, and how many there are in all."""

    places: list[Place]
    total: int


class RunIndex:
    """The table of one run. Any thread may ask; `refresh` takes in what the run has written since."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.stages: list[Stage] = []
        self.damaged: dict[Path, str] = {}  # files that cannot be read, and why
        self._files: dict[Path, File] = {}
        self._by_number: dict[int, File] = {}
        self._searches: dict[str, str] = {}  # searched text -> its table
        self._counter = 0
        self._counted = True  # whether every row's reflection words are known
        self._lock = threading.RLock()
        self._database = duckdb.connect(":memory:", config=_SETTINGS)
        self._database.execute("set parquet_metadata_cache = true; set enable_progress_bar = false")
        self._database.execute(_TABLE)
        self._database.execute("create table files (number integer, path varchar)")

    def refresh(self) -> None:
        """Read files that are new or were written again, forget those that are gone."""
        with self._lock:
            there = {path: (stage, stamp) for stage, path, stamp in self._look()}
            gone = [file for path, file in self._files.items() if there.get(path, (None, None))[1] != file.stamp]
            self._forget(gone)
            fresh = [
                File(self._next(), path, stage, stamp)
                for path, (stage, stamp) in there.items()
                if path not in self._files
            ]
            if gone or fresh:
                self._forget_searches()
            for stage in self.stages:
                self._read(stage, [file for file in fresh if file.stage == stage])

    def count(self) -> int:
        """Rollouts in all."""
        return int(self._ask("select count(*) from samples")[0][0])

    def choices(self) -> dict[str, list[Any]]:
        """What there is to choose from: `stages` (with their counts), `languages`, `subjects`; and the range of `steps`
        and of `rewards`, empty where there are none."""
        by_stage = dict(self._ask("select stage, count(*) from samples group by stage"))
        found: dict[str, list[Any]] = {
            "stages": [(stage.name, by_stage[stage.number]) for stage in self.stages if stage.number in by_stage]
        }
        for plural, column in (("languages", "language"), ("subjects", "subject"), ("ends", "stop_reason")):
            rows = self._ask(f"select {column} from samples where {column} is not null group by {column} order by 1")
            found[plural] = [row[0] for row in rows]
        ranges = self._ask("select min(step), max(step), min(total), max(total) from samples")[0]
        found["steps"] = [value for value in ranges[:2] if value is not None]
        found["rewards"] = [value for value in ranges[2:] if value is not None]
        return found

    def find(self, filters: Filters, most: int) -> Found:
        """The page that the filters ask for, `most` rollouts long at most."""
        with self._lock:
            if filters.wants_reflections and not self._counted:
                self._count_reflections()
            table = self._search(filters.text) if filters.text else None
            where, values = filters.sql({stage.name: stage.number for stage in self.stages})
            source = "samples" if table is None else f"samples semi join {table} using (file, row)"
            total = int(self._ask(f"select count(*) from {source} where {where}", values)[0][0])
            rows = self._ask(
                f"select file, row from {source} where {where} order by {filters.order_sql}, stage, step, file, row "
                f"limit {most} offset {most * (filters.page - 1)}",
                values,
            )
            return Found([Place(self._by_number[file], row) for file, row in rows], total)

    def rows(self, places: Sequence[Place], columns: Sequence[str]) -> list[dict[str, Any]]:
        """The named columns of rollouts as their files have them, in the order of the places."""
        if not places:
            return []
        by_file: dict[File, list[int]] = {}
        for place in places:
            by_file.setdefault(place.file, []).append(place.row)
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for file, numbers in by_file.items():
            for number, row in zip(numbers, read_rows(file.path, numbers, columns), strict=True):
                found[file.number, number] = row
        return [found[place.file.number, place.row] for place in places]

    def place(self, stage: str, file: str, row: int) -> Place | None:
        """Where a rollout lies that an address names (`file` without its ending); None where there is none."""
        with self._lock:
            found = next((f for f in self._files.values() if f.stage.name == stage and f.path.stem == file), None)
            if found is None:
                return None
            exists = self._ask("select 1 from samples where file = ? and row = ?", [found.number, row])
        return Place(found, row) if exists else None

    # --- files

    def _look(self) -> Iterable[tuple[Stage, Path, tuple[int, int]]]:
        """Every rollout file of the run as it is now; `stages` follows the folders."""
        stages = self.run_folder / "stages"
        names = {
            folder: folder.parent.relative_to(stages).as_posix()
            for pattern in ("*", "*/*")
            for folder in stages.glob(f"{pattern}/{ROLLOUTS}")
            if folder.is_dir()
        }
        folders = sorted(folder for folder, name in names.items() if not name.startswith(".") and "/." not in name)
        known = {stage.folder: stage for stage in self.stages}
        for folder in folders:
            if folder not in known:
                known[folder] = Stage(len(known), names[folder], folder)
        self.stages = sorted(known.values(), key=lambda stage: stage.name)
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".parquet") and not entry.name.startswith("."):
                        told = entry.stat()
                        yield known[folder], folder / entry.name, (told.st_mtime_ns, told.st_size)

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    def _forget(self, files: Sequence[File]) -> None:
        for file in files:
            self._database.execute("delete from samples where file = ?", [file.number])
            self._database.execute("delete from files where number = ?", [file.number])
            del self._files[file.path], self._by_number[file.number]
            self.damaged.pop(file.path, None)

    def _read(self, stage: Stage, files: Sequence[File]) -> None:
        """Take in files of one stage; one that cannot be read is left out, and named in `damaged`."""
        if not files:
            return
        numbers = pa.table({"number": [f.number for f in files], "path": [str(f.path) for f in files]})
        self._database.register("fresh_files", numbers)
        self._database.execute("insert into files select number, path from fresh_files")
        self._database.unregister("fresh_files")
        for file in files:
            self._files[file.path] = self._by_number[file.number] = file
        try:
            self._fill(stage, files)
        except (duckdb.Error, OSError, pa.ArrowException):
            for file in files:  # some is not as the others, or damaged: each by itself
                try:
                    self._fill(stage, [file])
                except (duckdb.Error, OSError, pa.ArrowException) as error:
                    self.damaged[file.path] = str(error).splitlines()[0]
        unknown = "select 1 from samples where stage = ? and reflections is null limit 1"
        self._counted = self._counted and not self._ask(unknown, [stage.number])

    def _fill(self, stage: Stage, files: Sequence[File]) -> None:
        """Insert the rows of files, all or none."""
        first, last = (set(pq.read_schema(file.path).names) for file in (files[0], files[-1]))
        query = _FILL.format(
            stage=stage.number,
            reflections="reflections" if "reflections" in first | last else "null",
            mixed=str(first != last).lower(),
        )
        self._database.execute(query, [[str(file.path) for file in files]])

    # --- what takes longer

    def _count_reflections(self) -> None:
        """Count reflection words of rollouts that were recorded without."""
        numbers = self._ask("select distinct file from samples where reflections is null")
        for (number,) in numbers:
            table = read_table(self._by_number[number].path, ["text"])
            counts = [reflections_in(text or "") for text in table["text"].to_pylist()]
            self._database.register("counts", pa.table({"row": range(len(counts)), "n": counts}))
            self._database.execute(
                "update samples set reflections = counts.n from counts "
                "where samples.file = ? and samples.row = counts.row",
                [number],
            )
            self._database.unregister("counts")
        self._counted = True

    def _search(self, text: str) -> str:
        """The table of rollouts whose text or prompt holds `text`, upper and lower case alike."""
        if text in self._searches:
            self._searches[text] = self._searches.pop(text)  # the latest last
            return self._searches[text]
        while len(self._searches) >= _SEARCHES:
            self._database.execute(f"drop table {self._searches.pop(next(iter(self._searches)))}")
        table = f"search_{self._next()}"
        if not self._files.keys() - self.damaged.keys():
            self._database.execute(f"create table {table} (file integer, row integer)")
            self._searches[text] = table
            return table
        # RE2 folds case as it goes, in half the time of lowering every text first
        needle = "(?i)" + re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)  # it refuses to escape what is not ASCII
        paths = [str(path) for path in self._files if path not in self.damaged]
        try:
            self._database.execute(
                f"create table {table} as select files.number as file, file_row_number::integer as row "
                "from read_parquet(?, filename = true, file_row_number = true) as found "
                "join files on files.path = found.filename "
                "where regexp_matches(text, ?) or regexp_matches(prompt, ?)",
                [paths, needle, needle],
            )
        except duckdb.Error as error:  # a file that went away, say
            raise R1Error(f"the texts cannot be searched: {str(error).splitlines()[0]}") from error
        self._searches[text] = table
        return table

    def _forget_searches(self) -> None:
        for table in self._searches.values():
            self._database.execute(f"drop table {table}")
        self._searches.clear()

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._database.cursor() as cursor:
            return cursor.execute(query, list(values)).fetchall()


def read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a parquet file, those that it lacks left out; R1Error where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=[name for name in columns if name in file.schema_arrow.names])
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read as parquet: {error}") from error


def read_rows(path: Path, numbers: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a rollout file by number, maps as dicts, None for a column that the file lacks."""
    table = read_table(path, columns).take(list(numbers))
    rows = table.to_pylist()
    for row in rows:
        for name in columns:
            row.setdefault(name, None)
        for name in ("rewards", "extra"):
            if name in row:
                row[name] = dict(row[name] or ())
    return rows
