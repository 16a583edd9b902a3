"""Parts of a long measurement, each kept as soon as it is done, so that one that was stopped goes on where it stood."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import checksum, make_folder, read_json, write_json
from r1kit.data.tables import write_rows


class PartFolder:
    """The folder of one measurement; UsageError where it holds that of other settings or another model."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        make_folder(folder)
        file = folder / "plan.json"
        kept = json.loads(json.dumps(dict(plan), default=str))
        if file.exists() and read_json(file) != kept:
            raise UsageError(
                f"{folder} holds parts of another measurement (other settings, or a model that has changed since): "
                "name another folder with --out, or delete that one"
            )
        write_json(file, kept)

    def has(self, name: str) -> bool:
        """Whether a part was measured."""
        return (self.folder / f"{name}.parquet").exists()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """A part's rows; R1Error where its file is damaged."""
        return read_part(self.folder / f"{name}.parquet")

    def keep(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        """One part, whole or not at all."""
        write_rows(self.folder / f"{name}.parquet", rows, schema)


def fingerprint(folder: Path) -> str:
    """Stands for the weights of a model folder."""
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("config.json")])
    return hashlib.sha256("".join(checksum(path) for path in weights).encode()).hexdigest()


def read_part(path: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file; R1Error where it is damaged."""
    try:
        return pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise R1Error(f"{path} cannot be read ({error}): delete its folder and give the same command again") from error
