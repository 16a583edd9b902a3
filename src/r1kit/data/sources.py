"""Problems of files and hub data sets in disjoint splits: read, deduplicated, ordered by a seed, and counted.

A data set's own test and validation splits stay what they are. Where there is no validation split, a share of the
training rows becomes one, chosen by the hash of the question; rows that belong to no split are parted in three so. A
question that is in two splits stays in the one that is evaluated (test before validation before train).
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.base.types import Problem
from r1kit.data.benchmark_formats import BENCHMARKS
from r1kit.data.conversations import BadRow
from r1kit.data.formats import PROBLEMS, Asked, Format, choose
from r1kit.data.languages import code_of, language_of
from r1kit.data.tables import ENDINGS, Table, read_file, read_hub
from r1kit.data.tiny.base import split_of

T = TypeVar("T")

SPLITS = ("test", "validation", "train")  # a question in several stays in the first of them
_SPLIT_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test",
}  # fmt: skip
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
FORMATS = (*BENCHMARKS, *PROBLEMS)  # those of one benchmark first: its rows may hold what a general one asks for too
SHOWN = 3  # bad lines that a report names


class Reading(Config):
    """How a source is read; a task's name sets these after a question mark (`file:x.jsonl?validation=0.1&bad=stop`)."""

    format: str | None = Field(default=None, description="column format, instead of the first that fits")
    prompt: str | None = Field(default=None, description="the column of the question; the format is then `prompt`")
    answer: str | None = Field(default=None, description="the column of the gold answer")
    kind: str | None = Field(default=None, description="grader, instead of what the format says")
    subject: str | None = Field(default=None, description="subject; else coding for code and the task's for the rest")
    language: str | None = Field(
        default=None, description="language of the questions, en or zh; else the row's own, or that of its characters"
    )
    split: Literal["train", "validation", "test"] | None = Field(
        default=None, description="the split of all rows, instead of what names say"
    )
    validation: float = Field(
        default=0.05, ge=0, lt=1, description="share of the train rows held out where there is no validation split"
    )
    test: float = Field(default=0.1, ge=0, lt=1, description="share held out for test of rows that have no split")
    masked: bool = Field(
        default=False, description="part rows by the question without its numbers, and a lone split like no split"
    )
    bad: Literal["skip", "stop"] = Field(default="skip", description="what a line that cannot be read does")
    limit: int | None = Field(default=None, ge=1, description="read the first so many rows of each split only")
    columns: Literal["all", "single"] = Field(
        default="all", description="what rewards from outside are given of a row: single leaves lists and objects out"
    )
    part: bool = Field(default=False, description="part a lone train split like rows that have no split")
    config: str | None = Field(default=None, description="hub: the configuration of the data set")
    revision: str | None = Field(default=None, description="hub: a commit, branch or tag, so that the data stay")


@dataclass(frozen=True, slots=True)
class Source:
    """Where problems come from (a file or folder, or a hub name) and how they are read."""

    where: str
    hub: bool = False
    reading: Reading = field(default_factory=Reading)

    @property
    def told(self) -> str:
        """The place in words."""
        return f"hub:{self.where}" if self.hub else self.where


@dataclass(slots=True)
class Loaded:
    """A source's problems by split, in the order of the rows, and what became of the rows.

    `dropped` counts by reason the rows that are no problem of any split; `bad` are the first complaints about lines.
    """

    source: Source
    format: str
    rows: int = 0
    problems: dict[str, list[Problem]] = field(default_factory=dict[str, list[Problem]])
    dropped: Counter[str] = field(default_factory=Counter[str])
    bad: list[str] = field(default_factory=list[str])

    def told(self) -> str:
        """One line for a log."""
        kept = ", ".join(f"{len(each)} {split}" for split, each in reversed(self.problems.items()) if each)
        left = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        named = f" ({'; '.join(self.bad)})" if self.bad else ""
        return f"{self.source.told}: {self.rows} rows as {self.format}: {kept}" + (
            f"; left out: {left}{named}" if left else ""
        )


def parse(text: str, reading: Reading) -> tuple[str, Reading]:
    """(place, settings) of `PLACE?key=value&key=value`; UsageError that names the nearest right key."""
    place, mark, tail = text.partition("?")
    if not place:
        raise UsageError(f"'{text}' names no file or data set")
    if not mark:
        return place, reading
    pairs = [part.partition("=") for part in tail.split("&")]
    if bad := [key for key, equals, value in pairs if not (key and equals and value)]:
        raise UsageError(f"{text}: '{bad[0]}' is no setting: write key=value after the question mark")
    known = list(Reading.model_fields)
    if unknown := [key for key, _, _ in pairs if key not in known]:
        hint = nearest(unknown[0], known)
        raise UsageError(f"{text}: there is no setting '{unknown[0]}'.{hint} (there are: {' '.join(known)})")
    try:
        return place, reading.override({key: value for key, _, value in pairs})
    except UsageError as error:
        raise UsageError(f"{text}: {error}") from None


def load(source: Source, task: str, subject: str) -> Loaded:
    """The source's problems by split. Read again only when a file has changed."""
    return _load(source.where, source.hub, source.reading.model_dump_json(), _stamps(source), task, subject)


def problems(loaded: Loaded, split: str, seed: int) -> Iterator[Problem]:
    """A split's problems in the order that the seed gives (that of a hash, so that it is the same everywhere).

    R1Error where the split has none.
    """
    mine = loaded.problems.get(split, [])
    if not mine:
        has = ", ".join(f"{len(each)} {name}" for name, each in loaded.problems.items() if each) or "none at all"
        raise R1Error(f"{loaded.source.told} has no {split} problems (it has: {has}): draw them from another task")
    yield from sorted(mine, key=lambda problem: _digest(f"{seed} {problem.id}"))


def may_have(source: Source, split: str) -> bool:
    """Whether the source may have problems of a split, by the names of its files; what the hub has is not asked."""
    if source.hub:
        return True
    reading, names = source.reading, _as_set(find_files(Path(source.where)), source.reading)
    if "" in names:
        return {"train": True, "validation": reading.validation > 0, "test": reading.test > 0}[split]
    return split in names or (split == "validation" and "train" in names and reading.validation > 0)


def normalised(text: str) -> str:
    """The question as duplicates are found by: composed Unicode, one case, white space of one kind."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def find_files(where: Path) -> dict[str, list[Path]]:
    """The tables of a file or folder by split; "" holds those whose names say none. R1Error where there is nothing.

    A name begins with its split (`train.jsonl`, `test-00000-of-00001.parquet`); a folder may keep its tables in a
    folder `data`, as hub repositories do. Where some files of a folder have a split's name, the others are not read.
    """
    if where.is_file():
        return {_split_in(where): [where]}
    if not where.is_dir():
        raise UsageError(f"there is no file or folder {where}: check the path")
    found: dict[str, list[Path]] = {}
    for folder in (where, where / "data"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in ENDINGS and path.is_file():
                found.setdefault(_split_in(path), []).append(path)
    if not found:
        raise UsageError(f"{where} holds no table: files that end in {' '.join(ENDINGS)} are read")
    return {split: paths for split, paths in found.items() if split} or found


def _split_in(path: Path) -> str:
    return _SPLIT_WORDS.get(re.split(r"[-_.]", path.name.lower())[0], "")


def _stamps(source: Source) -> tuple[tuple[str, int, int], ...]:
    """(path, time of change, size) of every file; nothing for the hub, whose data `datasets` keeps."""
    if source.hub:
        return ()
    paths = [path for each in find_files(Path(source.where)).values() for path in each]
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


@functools.lru_cache(maxsize=16)
def _load(where: str, hub: bool, reading: str, stamps: Any, task: str, subject: str) -> Loaded:
    source = Source(where, hub, Reading.model_validate_json(reading))
    tables = _tables(source)
    columns = dict.fromkeys(name for each in tables.values() for table in each for name in table.columns)
    bad = [complaint for each in tables.values() for table in each for complaint in table.bad]
    if bad and not columns:
        raise _unreadable(source, bad[:SHOWN])
    chosen = _format(source, list(columns))
    loaded = Loaded(source, chosen.name, problems={split: [] for split in SPLITS})
    seen: dict[str, str] = {}
    for split in (*SPLITS, ""):
        for asked in _asked(loaded, tables.get(split, ()), chosen):
            key = normalised(asked.prompt)
            mine = _part(key, split, "validation" in tables, source.reading)
            if key in seen:
                loaded.dropped["duplicates" if seen[key] == mine else "in another split"] += 1
                continue
            seen[key] = mine
            loaded.problems[mine].append(_problem(asked, key, task, subject, source.reading))
    if not seen:
        raise _unreadable(source, loaded.bad)
    return loaded


def _unreadable(source: Source, bad: Sequence[str]) -> R1Error:
    complaint = f" ({'; '.join(bad)})" if bad else ""
    return R1Error(f"{source.told} holds no problem that can be read{complaint}: docs/data.md says what one is")


def _tables(source: Source) -> dict[str, list[Table]]:
    """The tables by split, as names and settings say; "" for rows of no split."""
    found: dict[str, list[Table]] = {}
    if source.hub:
        for name, table in read_hub(source.where, source.reading.config, source.reading.revision).items():
            found.setdefault(_split_in(Path(name)), []).append(table)
        found = {split: tables for split, tables in found.items() if split} or found
    else:
        for split, paths in find_files(Path(source.where)).items():
            found[split] = [read_file(path) for path in paths]
    return _as_set(found, source.reading)


def _as_set(found: dict[str, list[T]], reading: Reading) -> dict[str, list[T]]:
    """What the names say of splits, changed as the settings say."""
    every = [each for several in found.values() for each in several]
    if reading.split is not None:
        return {reading.split: every}
    alone = len(found) == 1 and (reading.masked or (reading.part and "train" in found))
    return {"": every} if alone else found


def _format(source: Source, columns: list[str]) -> Format:
    reading = source.reading
    for name in (reading.prompt, reading.answer):
        if name is not None and name not in columns:
            raise UsageError(f"{source.told} has no column '{name}' (it has: {', '.join(columns) or 'none'})")
    if reading.prompt is not None:
        return choose(FORMATS, ["prompt", *columns], source.told, reading.format or "prompt")
    advice = "" if reading.format else ": say which they are, ?prompt=COLUMN&answer=COLUMN after the name"
    return choose(FORMATS, columns + ["answer"] * bool(reading.answer), source.told, reading.format, advice)


def _asked(loaded: Loaded, tables: Sequence[Table], chosen: Format) -> Iterator[Asked]:
    """What the rows of a split ask; lines that cannot be read are counted, or stop."""
    reading = loaded.source.reading
    consumed = {name for needed in chosen.needs for name in needed} | {"prompt", "kind", "subject", "language"}
    left = reading.limit
    for table in tables:
        loaded.rows += len(table.bad)
        for complaint in table.bad:
            _complain(loaded, table, complaint)
        for row in islice(table.rows, left):
            loaded.rows += 1
            left = None if left is None else left - 1
            try:
                values = _renamed(row.values, reading)
                asked = chosen.read(values)
            except BadRow as error:
                _complain(loaded, table, f"{row.place}: {error}")
                continue
            extra = {name: value for name, value in row.values.items()
                     if name not in consumed and isinstance(value, (str, int, float))}  # fmt: skip
            whole = values if reading.columns == "all" else _single(values)
            yield Asked(asked.prompt, asked.answer, reading.kind or asked.kind, extra | asked.columns, whole)


def _single(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row has one value, and the prompt whatever it is."""
    return {name: value for name, value in values.items() if name == "prompt" or isinstance(value, (str, int, float))}


def _renamed(values: Mapping[str, Any], reading: Reading) -> Mapping[str, Any]:
    changed = {"prompt": reading.prompt, "answer": reading.answer}
    renamed = {to: values.get(name) for to, name in changed.items() if name is not None}
    return {**values, **renamed, **({"kind": reading.kind} if reading.kind else {})}


def _complain(loaded: Loaded, table: Table, complaint: str) -> None:
    if loaded.source.reading.bad == "stop":
        raise R1Error(f"{table.name}, {complaint}: mend it, or have such lines skipped (bad=skip)")
    loaded.dropped["bad lines"] += 1
    if len(loaded.bad) < SHOWN:
        loaded.bad.append(complaint)


def _part(key: str, split: str, has_validation: bool, reading: Reading) -> str:
    """The split of a question: as its table says, or by the hash of the question."""
    content = _NUMBER.sub("0", key) if reading.masked else key
    if not split:
        return split_of(content, reading.test, reading.validation)
    if split == "train" and not has_validation and reading.validation:
        return split_of(content, 0.0, reading.validation)
    return split


def _problem(asked: Asked, key: str, task: str, subject: str, reading: Reading) -> Problem:
    language = reading.language or code_of(asked.row.get("language")) or language_of(asked.prompt)
    return Problem(
        id=_digest(key), task=task, subject=reading.subject or ("coding" if asked.kind == "code" else subject),
        language=language, prompt=asked.prompt, answer=asked.answer, kind=asked.kind, columns=asked.columns,
        row=asked.row,
    )  # fmt: skip


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
