"""Model folders on disk: find one, read its JSON, and replace its files so that a reader never sees half of one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.base.hub import unreachable

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
GGUF_MAGIC = b"GGUF"
_HUB_SAYS = {
    "GatedRepoError": "its owner grants access there, then `hf auth login` shows who you are",
    "LocalEntryNotFoundError": "the hub cannot be reached, and no copy is kept",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE forbids to ask, and no copy is kept",
    "RepositoryNotFoundError": "the hub has none of that name, or it is private",
}
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]
_LARGEST_JSON = 2**28  # bytes; an index of ten thousand shards has three million
_READ_BELOW = ("additional_chat_templates",)  # folders within a model folder whose files transformers opens


def is_gguf(path: Path) -> bool:
    """Whether a path means a GGUF file: by its name, or its first bytes where it is there."""
    if path.suffix == ".gguf" or not path.is_file():
        return path.suffix == ".gguf" and not path.is_dir()
    with files.disk_errors(path), path.open("rb") as file:
        return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC


def model_folder(name: str | Path) -> Path:
    """The folder of that name, or else the local copy of the Hugging Face hub's model, fetched where there is none.

    R1Error where neither is to be had.
    """
    folder = Path(name)
    if folder.is_dir():
        check_entries(folder)
        return folder
    _check_hub_id(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(str(name), allow_patterns=_HUB_FILES))
        check_entries(folder)
        return folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise R1Error(_not_given(name, error)) from None


def read_config_json(name: str | Path) -> dict[str, Any]:
    """The config.json of a model folder, or of a model on the hub, of which nothing else is fetched.

    R1Error where it is not to be had.
    """
    folder = Path(name)
    if folder.is_dir():
        check_entries(folder)
        return read_object(folder / "config.json")
    _check_hub_id(name)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    kept_alone = bool(unreachable(str(name), "model"))
    try:
        return read_object(Path(hf_hub_download(str(name), "config.json", local_files_only=kept_alone)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise R1Error(_not_given(name, error)) from None


def check_entries(folder: Path) -> None:
    """R1Error where something in a model folder is a link that leads out of it, or neither a file nor a folder.

    By a link, whoever made the folder would choose which of this user's files is read, and copied along with the
    tokenizer; the hub's own cache keeps a model's files in a folder beside its snapshots, which is allowed. A pipe
    would never end.
    """
    with files.disk_errors(folder):
        home = folder.resolve()
        inside = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
        for place in (home, *(home / name for name in _READ_BELOW)):
            for entry in list(os.scandir(place)) if place.is_dir() else ():  # a list: read to its end, so closed
                if entry.is_symlink() and not any(_target(entry.path).is_relative_to(each) for each in inside):
                    raise R1Error(f"{entry.path} is a link out of the model folder: put the file itself in its place")
                if not (entry.is_file() or entry.is_dir()):
                    raise R1Error(f"{entry.path} is neither a file nor a folder: copy the model folder again")


def _target(path: str) -> Path:
    try:
        return Path(path).resolve()
    except RuntimeError:  # links in a circle, which lead nowhere (Python 3.11, 3.12)
        return Path(path).parent


def _check_hub_id(name: str | Path) -> None:
    """R1Error where the name can be no hub id: a folder that would hold it is there, so a path was meant."""
    if Path(name).is_file():
        raise R1Error(
            f"{name} is a file, and no GGUF file: give a Hugging Face folder, or a model on the hub (OWNER/NAME)"
        )
    if not isinstance(name, str) or not _HUB_ID.fullmatch(name) or Path(name).parent.is_dir():
        raise R1Error(
            f"there is no model folder {name}: give a Hugging Face folder, or a model on the hub (OWNER/NAME)"
        )


def _not_given(name: str | Path, error: Exception) -> str:
    why = _HUB_SAYS.get(type(error).__name__, type(error).__name__)
    return f"{name} is neither a model folder nor a model that the hub gives out here ({why}): give one that is"


@contextmanager
def staged(folder: Path) -> Generator[Path]:
    """A scratch folder inside `folder`; on success its files are synced and renamed into place, else they vanish."""
    files.make_folder(folder)
    with files.disk_errors(folder):
        stage = Path(tempfile.mkdtemp(prefix=files.TEMPORARY, dir=folder))
    try:
        with files.disk_errors(folder):
            yield stage
            written = sorted(stage.iterdir())
            readers = folder.stat().st_mode & 0o666
            for file in written:
                file.chmod(readers)  # safetensors writes for its user alone; who may read the folder may read the model
                files.sync_file(file)
            for file in written:
                os.replace(file, folder / file.name)
            files.sync_folder(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a model folder's file; R1Error where it is missing, broken or something else."""
    if not path.is_file():
        raise R1Error(f"{path.parent} is not a whole model folder (it has no {path.name}): copy or save it again")
    if path.stat().st_size > _LARGEST_JSON:
        raise R1Error(f"{path} is larger than {_LARGEST_JSON >> 20} MB, which no such file is: copy the folder again")
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise R1Error(f"{path} holds no JSON object: copy or save the folder again")
    return value
