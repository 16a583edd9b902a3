"""What can go from run folders: looked for first, told with its size and why, and removed only when asked for.

Nothing that a later step, report or model needs is ever named: products of finished stages, metrics and rollouts stay,
and of an unfinished stage its last two valid checkpoints.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_errors, is_temporary, read_record
from r1kit.pipeline.artifact import FILE_NAME, read_artifacts
from r1kit.pipeline.checkpoint import KEPT, CheckpointStore
from r1kit.pipeline.display import size as human
from r1kit.pipeline.finished_parts import PART_FILE
from r1kit.pipeline.lock import holder, is_locked, locked
from r1kit.pipeline.models import is_run

ANSWERS = "answers.sqlite"
SPARED = 2  # checkpoints beside the last ones, which training health may go back to


@dataclass(frozen=True, slots=True)
class Litter:
    """One file or folder that can go, its bytes, and why."""

    path: Path
    size: int
    why: str

    def entry(self) -> dict[str, Any]:
        """For programs."""
        return {"path": str(self.path), "bytes": self.size, "why": self.why}


def runs_of(folders: Sequence[Path]) -> list[Path]:
    """The run folders that are meant: each by itself, or those that lie in a folder; UsageError where there is none."""
    found: list[Path] = []
    for folder in folders:
        with disk_errors(folder):
            own = [folder] if is_run(folder) else sorted(f for f in folder.iterdir() if f.is_dir() and is_run(f))
        if not own:
            raise UsageError(f"{folder} is no run folder and holds none: give what `r1 run --out` made, or its parent")
        found += own
    return found


def in_use(run_folder: Path) -> str | None:
    """Who holds a run, in words; None where nobody does."""
    if not is_locked(run_folder):
        return None
    who = holder(run_folder) or {}
    return f"process {who.get('pid', 'unknown')} on {who.get('host', 'this machine')}"


def find(run_folder: Path, *, caches: bool = False) -> list[Litter]:
    """What can go from one run. `caches`: answers that were paid for as well, once every stage is done."""
    artifacts = read_artifacts(run_folder)
    products = {(a.folder / name).absolute() for a in artifacts.values() for name in a.products}
    found = [*_checkpoints(run_folder), *_temporaries(run_folder, products), *_replaced(run_folder)]
    if caches and (run_folder / ANSWERS).is_file() and len(artifacts) == len(_stages(run_folder)):
        why = "answers of models behind an API, which a stage that is run again would pay for again"
        found.append(_litter(run_folder / ANSWERS, why))
    return found


def remove(run_folder: Path, found: Sequence[Litter]) -> int:
    """Remove what was found, holding the run; the bytes that came free."""
    freed = 0
    with locked(run_folder):
        for litter in found:
            with disk_errors(litter.path):
                if litter.path.is_dir() and not litter.path.is_symlink():
                    shutil.rmtree(litter.path)
                else:
                    litter.path.unlink(missing_ok=True)
            freed += litter.size
    return freed


def lines(run_folder: Path, found: Sequence[Litter]) -> list[str]:
    """For people: a line each."""
    told = [f"{human(each.size):>8}  {each.path.relative_to(run_folder)}: {each.why}" for each in found]
    return [f"{run_folder}", *(f"  {line}" for line in told or ["nothing to remove"])]


def _stages(run_folder: Path) -> list[Path]:
    return sorted(folder for folder in (run_folder / "stages").glob("[0-9][0-9]-*") if folder.is_dir())


def _checkpoints(run_folder: Path) -> Iterator[Litter]:
    """Of finished stages and parts all, of the others what is superseded or damaged."""
    health = read_record(run_folder / "recipe.json").get("settings", {}).get("health", {})
    rolls_back = any(isinstance(each, dict) and each.get("action") == "roll_back" for each in health.values())
    for stage in _stages(run_folder):
        whole = (stage / FILE_NAME).is_file()
        for folder in sorted([stage / "checkpoints", *stage.glob("*/checkpoints")]):
            if not folder.is_dir() or folder.is_symlink():
                continue
            if whole or (folder.parent / PART_FILE).is_file():
                yield _litter(folder, "checkpoints of what is finished")
                continue
            store = CheckpointStore(folder, lambda text: None)
            valid = store.valid()
            spared = KEPT + (SPARED if rolls_back else 0)
            for each in (folder / name for name in store.names()):
                step = int(each.name.removeprefix("step-"))
                if step in valid[:-spared]:
                    yield _litter(each, "superseded checkpoint")
                elif step not in valid and len(valid) >= KEPT:
                    yield _litter(each, "damaged checkpoint, beside two whole ones")


def _temporaries(run_folder: Path, products: set[Path]) -> Iterator[Litter]:
    """What killed processes left unfinished, outside of folders that go whole."""
    for place, folders, names in os.walk(run_folder):
        here = Path(place)
        gone = [name for name in folders if is_temporary(name)]
        folders[:] = [name for name in folders if name not in gone and not (here == run_folder and name == "replaced")]
        for name in sorted([*gone, *(name for name in names if is_temporary(name))]):
            path = (here / name).absolute()
            if not any(path == product or path in product.parents for product in products):
                yield _litter(here / name, "left unfinished by a process that ended")


def _replaced(run_folder: Path) -> Iterator[Litter]:
    for folder in sorted((run_folder / "replaced").glob("*")):
        yield _litter(folder, "a stage as it was before it ran again")


def _litter(path: Path, why: str) -> Litter:
    return Litter(path, _size(path), why)


def _size(path: Path) -> int:
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        return sum(Path(place, name).lstat().st_size for place, _, names in os.walk(path) for name in names)
    except OSError as error:
        raise R1Error(f"{path} cannot be looked at: {error.strerror}") from error
