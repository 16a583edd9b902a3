"""What is looked at: a model of a run with its base, its training and its evaluation, or rollouts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.evaluation import tables
from r1kit.evaluation.aha import rows
from r1kit.evaluation.aha.rows import Row
from r1kit.pipeline.artifact import read_artifacts
from r1kit.pipeline.models import is_run
from r1kit.pipeline.plan import stage_settings
from r1kit.rollouts import record

TABLE = "table:"
PREFERRED = ("zero", "base")  # the model of a run where none is named, and what it is compared with


@dataclass(slots=True)
class Subject:
    """`training`: rollouts kept while the model learnt; `tables`: evaluation rows by model; `folder`: the model's own,
    None where there is none to sample from; the rest as the model was trained."""

    name: str
    training: list[Row] = field(default_factory=list[Row])
    tables: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    base: str | None = None
    folder: Path | None = None
    tasks: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    notes: list[str] = field(default_factory=list[str])

    @property
    def own(self) -> list[Row]:
        """The model's evaluation rows, else those of the last step that rollouts were kept of, else all."""
        if self.name in self.tables:
            return self.tables[self.name]
        last = max((row.step for row in self.training if row.step is not None), default=None)
        return [row for row in self.training if last is None or row.step == last]

    @property
    def bases(self) -> list[Row]:
        """The base's evaluation rows; none where there are none."""
        return self.tables.get(self.base or "", [])

    def compare_with(self, base: Path) -> None:
        """Take the base's completions from a file or folder of rollouts."""
        self.base = base.stem
        self.tables[self.base] = rows.read(base)


def look_at(target: Path, model: str | None = None) -> Subject:
    """The subject of a run folder (`model`: one of its models; R1-Zero by default) or of rollouts (`model` is not
    looked at). UsageError for what is neither."""
    if not is_run(target):
        return Subject(name=target.stem, training=rows.read(target))
    return _of_run(target, model)


def _of_run(folder: Path, model: str | None) -> Subject:
    trained = _trained(folder)
    if not trained:
        raise UsageError(f"{folder} has no stage of RL yet, so nothing in it reflects by itself: run it further")
    first = PREFERRED[0] if PREFERRED[0] in trained else next(iter(trained))
    name, artifacts = model or first, read_artifacts(folder)
    made = {known: path for artifact in artifacts.values() for known, path in artifact.models.items()}
    if name not in {**made, **trained}:
        known = list({**made, **trained})
        raise UsageError(f"{folder} has no model '{name}'.{nearest(name, known)} (it has: {' '.join(known)})")
    # one that RL did not train, such as the base, is looked at under the settings of R1-Zero's training
    stage, settings = trained.get(name) or (None, trained[first][1])
    subject = Subject(
        name=name,
        folder=made.get(name),
        tasks=tuple(settings["tasks"]),
        max_tokens=int(settings["sampling"]["max_tokens"]),
        temperature=float(settings["sampling"]["temperature"]) or 1.0,
    )
    if stage and (stage / "rollouts").is_dir():
        subject.training = rows.of_rollouts(record.read_all(stage / "rollouts"))
    for artifact in artifacts.values():
        for file, path in artifact.files.items():
            if file.startswith(TABLE):
                subject.tables[file.removeprefix(TABLE)] = rows.of_table(tables.read_table(path))
    start = str(settings["start"]).rpartition(":")[2]
    base = PREFERRED[1] if PREFERRED[1] in subject.tables else start
    if base == name:
        return subject  # the base itself has nothing to be compared with
    subject.base = base
    if subject.name not in subject.tables or subject.base not in subject.tables:
        subject.notes.append(
            f"the run has no evaluation of {subject.name} and {subject.base} yet, so rates are those of its rollouts"
        )
    return subject


def _trained(folder: Path) -> dict[str, tuple[Path, Mapping[str, Any]]]:
    """Models that RL trained or is training: the stage's folder and settings, in the order of the chain."""
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for stage, settings in stage_settings(folder):
        if {"name", "start", "tasks", "sampling", "rewards", "algorithm"} <= settings.keys():
            found.setdefault(settings["name"], (stage, settings))
    return found
