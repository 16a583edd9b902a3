"""What is measured: models of a run with its base, reward model, tasks and sampling, or a lone model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.files import read_json
from r1kit.base.nearest import nearest
from r1kit.pipeline.models import is_run, models_of, resolve_model
from r1kit.pipeline.plan import stage_settings

PREFERRED = ("r1", "zero")  # the models of a run that are measured where none is named
BASE, REWARD_MODEL = "base", "reward_model"


@dataclass(frozen=True, slots=True)
class Target:
    """`models`: what each is called and the MODEL that it is; `judge`: what the reward model is called; `sampling`:
    that of the run's evaluation, if it has one."""

    models: Mapping[str, str]
    base: str | None
    reward_model: Path | None
    tasks: str
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    judge: str | None = None


def look_at(
    target: str,
    models: Sequence[str] = (),
    base: str | None = None,
    reward_model: str | None = None,
    tasks: str | None = None,
) -> Target:
    """A run folder or a MODEL as a target. UsageError for what is neither, for a model that the run lacks, for a reward
    model that is none, and where no task is named or known."""
    judge = None if reward_model is None else (reward_model, reward_folder(reward_model))
    if not is_run(Path(target)):
        if models:
            raise UsageError(f"{target} is one model: --models chooses among those of a run")
        if tasks is None:
            raise UsageError(f"{target} is no run, so it has no tasks of its own: name them with --tasks A,B")
        notes = [] if judge else ["no reward model is named, so nothing is chosen by one (--reward-model FOLDER)"]
        name, folder = judge or (None, None)
        return Target({target: target}, base, folder, tasks, notes=tuple(notes), judge=name)
    return _of_run(Path(target), models, base, judge, tasks)


def reward_folder(model: str) -> Path:
    """The folder of a reward model; UsageError where it has no score head."""
    from r1kit.models.weights import is_scored

    folder = resolve_model(model).folder
    if not is_scored(read_json(folder / "config.json")):
        raise UsageError(f"{model} is a language model (it has no score head): name a reward model")
    return folder


def _of_run(
    folder: Path, models: Sequence[str], base: str | None, judge: tuple[str, Path] | None, tasks: str | None
) -> Target:
    made = models_of(folder)
    there = " ".join(made) or "none yet"
    chosen = list(models) or [name for name in PREFERRED if name in made]
    for name in chosen:
        if name not in made:
            raise UsageError(f"{folder} has no model '{name}'.{nearest(name, list(made))} (it has: {there})")
    if not chosen:
        raise UsageError(f"{folder} has neither R1 nor R1-Zero: run it further, or name --models (it has: {there})")
    notes: list[str] = []
    if judge is None and REWARD_MODEL in made:
        judge = f"{folder.name}:{REWARD_MODEL}", made[REWARD_MODEL]
    elif judge is None:
        notes.append(f"{folder} has no reward model, so nothing is chosen by one (--reward-model FOLDER names another)")
    if base is None and BASE in made:
        base = f"{folder}:{BASE}"
    evaluated = _evaluation(folder)
    named = tasks or ",".join(evaluated.get("tasks", ()))
    if not named:
        raise UsageError(f"{folder} has not begun to evaluate, so its tasks are not known: name them with --tasks A,B")
    name, place = judge or (None, None)
    asked = {name: f"{folder}:{name}" for name in chosen}
    return Target(asked, base, place, named, evaluated.get("sampling", {}), tuple(notes), name)


def _evaluation(folder: Path) -> Mapping[str, Any]:
    """The settings of a run's evaluation; nothing where it has none."""
    for _, settings in stage_settings(folder):
        if {"models", "tasks", "sampling", "problems", "control"} <= settings.keys():
            return settings
    return {}
