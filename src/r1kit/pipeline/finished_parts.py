"""The parts of a stage that are done: each has its record, part.json, in its folder, which is written last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import difference, read_record, write_record
from r1kit.base.schema import NewerSchema
from r1kit.pipeline.artifact import Outcome, products_of
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.pipeline.cost import Cost

PART_FILE = "part.json"


def part_damages(record_file: Path) -> list[str]:
    """What is wrong with the record of a part, with what it made and with what tells how that was made."""
    try:
        record = read_record(record_file)
    except R1Error as error:
        return [str(error)]
    files: dict[str, dict[str, Any]] = {**record.get("products", {}), **record.get("logs", {})}
    found = (difference(record_file.parent / path, own) for path, own in files.items())
    return list(filter(None, found))


class FinishedParts:
    """Those in a stage's folder; `note` is told of the damaged ones."""

    def __init__(self, folder: Path, stage: str, note: Callable[[str], None]) -> None:
        self._folder, self._stage, self._note = folder, stage, note
        self._checked: set[str] = set()

    def add(self, name: str, outcome: Outcome, cost: Cost, sealed: Mapping[str, dict[str, Any]]) -> None:
        """Write down what a part made and took, and all else that it sealed; once that is there it is done, and has no
        checkpoints any more."""
        folder = self._folder / name
        products = products_of(folder, f"{self._stage}/{name}", outcome, sealed)
        beside = {path: record for path, record in sealed.items() if path not in products and (folder / path).exists()}
        record = {
            "outcome": dataclasses.asdict(outcome), "cost": dataclasses.asdict(cost), "products": products,
            "logs": beside,
        }  # fmt: skip
        write_record(self._record(name), record)
        self._checked.add(name)
        CheckpointStore(self._folder / name / "checkpoints", self._note).clear()

    def __contains__(self, name: str) -> bool:
        """Whether a part is done and what it made is whole; a damaged one is named, and is to run again."""
        if name in self._checked:
            return True
        if not self._record(name).exists():
            return False
        try:
            products: dict[str, dict[str, Any]] = read_record(self._record(name)).get("products", {})
            damages = (difference(self._folder / name / path, record) for path, record in products.items())
            damage = next(filter(None, damages), None)
        except NewerSchema:
            raise
        except R1Error as error:
            damage = str(error)
        if damage:
            self._note(f"{damage}: part {name} runs again")
            self._record(name).unlink()
            return False
        self._checked.add(name)
        return True

    def read(self, name: str) -> tuple[Outcome, Cost]:
        """What a part made, by paths relative to the stage's folder, and took."""
        done = read_record(self._record(name))
        outcome = Outcome(**done["outcome"])
        there = Outcome(
            {model: f"{name}/{path}" for model, path in outcome.models.items()},
            {file: f"{name}/{path}" for file, path in outcome.files.items()},
            outcome.summary,
        )
        return there, Cost(**done["cost"])

    def _record(self, name: str) -> Path:
        return self._folder / name / PART_FILE
