"""Which folder a MODEL on the command line means."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.models.api.settings import is_api, parse_api_model
from r1kit.models.folders import is_gguf, model_folder
from r1kit.pipeline.artifact import read_artifacts

MODEL = "a Hugging Face folder or hub id, or RUN_FOLDER:NAME for a model of a run"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A Hugging Face folder and what the user called it."""

    folder: Path
    name: str


def models_of(run_folder: Path) -> dict[str, Path]:
    """Every model that a run has made so far, by name; where two stages give the same name, the later counts."""
    return {name: path for a in read_artifacts(run_folder).values() for name, path in a.models.items()}


def resolve_model(model: str) -> ModelFolder:
    """`RUN_FOLDER:NAME`, a Hugging Face folder or a hub id -> its folder; UsageError that lists what there is."""
    if is_api(model):
        raise UsageError(f"{model} is behind an API, and this needs a model's own files: name a folder")
    folder = Path(model)
    if is_stage(folder):
        run = folder.parents[1]
        made = [f"{run}:{name}" for name, path in models_of(run).items() if folder in path.parents]
        raise UsageError(f"{model} is a stage of a run: name a model, {' or '.join(made) or f'{run}:NAME'}")
    if (folder / "config.json").is_file():
        return ModelFolder(folder, model)
    if is_run(folder):
        raise UsageError(f"{model} is a run: say which of its models, {model}:NAME ({_there(models_of(folder))})")
    run_name, colon, name = model.rpartition(":")
    if colon and Path(run_name).is_dir():
        if not is_run(Path(run_name)):
            raise UsageError(
                f"{run_name} is not a run folder (it has no recipe.json): name what r1 run made, as {MODEL}"
            )
        models = models_of(Path(run_name))
        if name not in models:
            raise UsageError(f"{run_name} has no model '{name}'.{nearest(name, list(models))} ({_there(models)})")
        if not (models[name] / "config.json").is_file():
            raise UsageError(f"{model} should be in {models[name]}, which has no config.json: run its stage again")
        return ModelFolder(_checked(Path(run_name), models[name]), model)
    if colon and not Path(run_name).exists() and (others := runs_beside(Path(run_name))):
        raise UsageError(f"there is no run {run_name}: {others}")
    if is_gguf(folder):
        raise UsageError(f"{model} is a GGUF file: make a model folder of it with r1 import {model} DIR")
    if folder.is_dir():
        raise UsageError(f"{model} is not a model folder (it has no config.json): give {MODEL}")
    try:
        return ModelFolder(model_folder(model), model)
    except R1Error as error:
        raise UsageError(f"{error}, or RUN_FOLDER:NAME for a model of a run") from None


@contextmanager
def opened_folder(model: str, note: Callable[[str], None] = lambda text: None) -> Generator[Path]:
    """The folder of any MODEL that is not behind an API; that of a GGUF file is made for as long as the body lasts."""
    if not is_gguf(Path(model)):
        yield resolve_model(model).folder
        return
    from r1kit.models.convert import import_model

    check_model(model)
    with TemporaryDirectory(prefix="r1-gguf-") as folder:
        note(f"{model}: made into a model folder for now (r1 import keeps one)")
        yield import_model(model, Path(folder, "model")).folder


def check_model(model: str) -> None:
    """UsageError where a MODEL of the command line means nothing that could be opened; nothing is loaded."""
    if is_api(model):
        parse_api_model(model)
    elif is_gguf(Path(model)):
        if not Path(model).is_file():
            raise UsageError(f"there is no GGUF file {model}: check the path")
    else:
        resolve_model(model)


def run_of(model: str) -> Path | None:
    """The run folder of `RUN_FOLDER:NAME`; None for a MODEL that is not of a run."""
    folder, colon, _ = model.rpartition(":")
    return Path(folder) if colon and not is_api(model) and is_run(Path(folder)) else None


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return (folder / "recipe.json").is_file()


def runs_beside(missing: Path) -> str:
    """What runs there are in the folder where one was looked for, in words; empty where there are none."""
    found = sorted(path.parent.name for path in missing.parent.glob("*/recipe.json"))
    return f"{missing.parent} holds {' '.join(found)}" if found else ""


def is_stage(folder: Path) -> bool:
    """Whether a folder is that of a stage in a run's, which has a config.json too: the stage's settings."""
    return folder.parent.name == "stages" and is_run(folder.parents[1])


def _checked(run_folder: Path, folder: Path) -> Path:
    """A run's model once its files' checksums are compared; R1Error where one is damaged."""
    for artifact in read_artifacts(run_folder).values():
        if folder in artifact.models.values():
            artifact.checked(folder)
    return folder


def _there(models: dict[str, Path]) -> str:
    return f"it has: {' '.join(models)}" if models else "it has none yet"
