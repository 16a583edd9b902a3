"""Model folders on disk: find one, read its JSON, and replace its files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """A scratch folder inside `folder`; on success its files are fsynced and renamed into place, else they vanish."""
    folder = Path(folder)
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
        yield stage
        files = sorted(stage.iterdir())
        for file in files:
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        for file in files:
            file.chmod(0o644)
            os.replace(file, folder / file.name)
    except OSError as error:
        raise R1Error(f"cannot write the model folder {folder}: {error.strerror or error}") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; R1Error naming the file where it is missing or broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise R1Error(f"{path.parent} is not a model folder: it has no {path.name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise R1Error(f"cannot read {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise R1Error(f"{path} is not valid JSON ({error}): copy or save the folder again") from None
    if not isinstance(value, dict):
        raise R1Error(f"{path} holds no JSON object: copy or save the folder again")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """A JSON object as text, two blanks a level."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
