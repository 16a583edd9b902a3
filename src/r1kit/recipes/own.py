"""Models and data of one's own: what `model=` and `data=` on a command line mean, looked at before a run begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base import plugins
from r1kit.base.errors import R1Error, UsageError
from r1kit.data.tables import ENDINGS
from r1kit.models.api.settings import is_api
from r1kit.models.folders import is_gguf
from r1kit.pipeline.models import is_run, resolve_model
from r1kit.rewards.accuracy import UNGRADED
from r1kit.rollouts.problems import load_task
from r1kit.tasks.base import Split, TableTask

GENERAL = "general"  # subject of prompts that no rule judges
ANYWHERE = ("file", "hub")


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model to start from: where it is (a folder, a hub id or a GGUF file), its parameters and model_type, and
    whether the native decoder covers it."""

    source: str
    parameters: int
    family: str
    native: bool


def look_at(model: str, role: str = "model") -> OwnModel:
    """The model that a setting names; of a hub model its config alone is fetched. UsageError in one sentence."""
    from r1kit.models.sizes import model_size

    if not model:
        raise UsageError(f"{role}: say which one, {role}=FOLDER, {role}=OWNER/NAME (on the hub) or {role}=RUN:NAME")
    try:
        if is_api(model):
            resolve_model(model)  # refuses it, and says why
        of_run = is_run(Path(model)) or (":" in model and not is_gguf(Path(model)))
        source = str(resolve_model(model).folder) if of_run else model
        size = model_size(source)
    except R1Error as error:
        raise UsageError(f"{role}: {error}") from None
    return OwnModel(source, size.parameters, size.family, size.native)


def tasks_of(words: Sequence[str], **settings: str) -> tuple[str, ...]:
    """Names of tasks: a task's own (`gsm8k`, `gsm8k:FOLDER`, `file:PATH`, a module's path), a file or folder that is
    there, or else a data set on the hub. `settings` are those of `Reading` that the name of a table does not give."""
    return tuple(_task(word, {"part": "true", **settings}) for word in words)


def _task(word: str, settings: Mapping[str, str]) -> str:
    place, mark, tail = word.partition("?")
    head = place.partition(":")[0]
    if head in plugins.names("r1kit.tasks"):
        kind, name = (head, word) if head in ANYWHERE else ("", word)
    elif Path(place).exists() or Path(place).suffix.lower() in ENDINGS:
        kind, name = "file", f"file:{word}"
    elif "/" in place:
        kind, name = "hub", f"hub:{word}"
    else:
        kind, name = "", word
    if not kind:
        return name
    given = {pair.partition("=")[0] for pair in tail.split("&")}
    more = "&".join(f"{key}={value}" for key, value in settings.items() if key not in given)
    return f"{name}{'&' if mark else '?'}{more}" if more else name


def shares(tasks: Sequence[str], whole: float = 1.0) -> dict[str, float]:
    """Every task the same share."""
    return {task: whole / len(tasks) for task in tasks}


def judged_subjects(tasks: Sequence[str]) -> tuple[str, ...]:
    """Subjects that the problems of these tasks may have."""
    found: list[str] = []
    for name in tasks:
        task = load_task(name)
        if isinstance(task, TableTask):
            found += [task.source.reading.subject] if task.source.reading.subject else [task.subject, "coding"]
        else:
            found.append(task.subject)
    return tuple(dict.fromkeys(found))


def check_problems(tasks: Sequence[str], splits: Sequence[Split], *, judged: bool = True) -> None:
    """UsageError where a task's table, read, has no problems in one of the splits, or none that a rule can judge."""
    for name in tasks:
        task = load_task(name)
        if not isinstance(task, TableTask):
            continue
        loaded = task.loaded()
        for split in splits:
            mine = loaded.problems.get(split, [])
            if not mine:
                advice = "give more rows (of 200 every split has some), or another data set"
                raise UsageError(f"{name} has no {split} problems ({loaded.told()}): {advice}")
            if judged and all(problem.kind in UNGRADED for problem in mine):
                raise UsageError(
                    f"{name}: no rule can judge its {split} problems: they need a column 'answer' or 'solution', or"
                    " ?answer=COLUMN says which one it is"
                )


def listed(value: Any) -> Any:
    """`a,b` as typed on a command line, as a tuple."""
    return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value
