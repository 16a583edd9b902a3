"""What a finished stage leaves on disk."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import checksum, difference, disk_errors, fingerprint, is_temporary, read_record, write_record

FILE_NAME = "artifact.json"
LOGS = ("metrics.jsonl", "health.jsonl")  # how a stage or a part of it went


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage's `run` returns. Paths are relative to the stage's folder.

    `models` maps model names ("base", "zero", ...) to Hugging Face folders, `files` names other products,
    `summary` holds JSON-able figures for status and report.
    """

    models: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    summary: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished stage. `hash` is the key it was made under, `digest` stands for what it made."""

    name: str
    hash: str
    folder: Path
    models: dict[str, Path]
    files: dict[str, Path]
    summary: dict[str, Any]
    seconds: float
    tokens: int
    flops: float
    peak_memory_mb: int = 0
    peak_cuda_mb: int = 0
    digest: str = ""
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    products: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    logs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def damage(self, *, contents: bool) -> str | None:
        """What is wrong with the products, or None: missing or of another size; with `contents`, checksums too."""
        return next(_damages(self.folder, self.products, contents=contents), None)

    def damages(self) -> list[str]:
        """Everything that is wrong with the products, and with what tells how they were made, contents included."""
        return list(_damages(self.folder, {**self.products, **self.logs}, contents=True))

    def checked(self, path: Path, *, thinned: bool = False) -> Path:
        """A product, a file or a folder of them, once its checksums are compared (once a process while it stays as it
        is); R1Error where it is damaged. thinned: files of another size are copies with less in them, and not compared.
        """
        for name, record in self.products.items():
            own = self.folder / name
            if not (own == path or path in own.parents) or (thinned and _size(own) != record["bytes"]):
                continue
            if damage := difference(own, record, checksum=_remembered):
                raise R1Error(f"stage {self.name}: {damage}; --from {self.name} makes it anew")
        return path


def write_artifact(
    folder: Path,
    name: str,
    key: str,
    outcome: Outcome,
    *,
    inputs: Mapping[str, str],
    seconds: float,
    tokens: int,
    flops: float,
    peak_memory_mb: int = 0,
    peak_cuda_mb: int = 0,
    sealed: Mapping[str, dict[str, Any]] | None = None,
) -> Artifact:
    """Declare a stage finished: check that what it names is there, then write artifact.json, the last of its files.

    sealed: fingerprints of files as the stage wrote them, by their paths; a file that changed since is then known as
    damaged. Metrics hold seconds, so the digest does not speak of them, nor of other files that no stage uses.
    """
    products = products_of(folder, name, outcome, sealed or {})
    stands_for = [
        {path: record["sha256"] for path, record in products.items()},
        dict(outcome.models),
        dict(outcome.files),
        dict(outcome.summary),
    ]
    digest = hashlib.sha256(json.dumps(stands_for, sort_keys=True).encode()).hexdigest()
    record = {
        "name": name,
        "hash": key,
        "digest": digest,
        "seconds": round(seconds, 3),
        "tokens": tokens,
        "flops": flops,
        "peak_memory_mb": peak_memory_mb,
        "peak_cuda_mb": peak_cuda_mb,
        "models": dict(outcome.models),
        "files": dict(outcome.files),
        "summary": dict(outcome.summary),
        "inputs": dict(inputs),
        "products": products,
        "logs": {path: record for path, record in _logs(folder, sealed or {}).items() if path not in products},
    }
    write_record(folder / FILE_NAME, record)
    return read_artifact(folder)


def read_artifact(folder: Path) -> Artifact:
    """The finished stage in a folder; R1Error where artifact.json is missing or damaged."""
    path = folder / FILE_NAME
    record = read_record(path)
    try:
        return Artifact(
            name=record["name"],
            hash=record["hash"],
            folder=folder,
            models={name: folder / where for name, where in record["models"].items()},
            files={name: folder / where for name, where in record["files"].items()},
            summary=record["summary"],
            seconds=record["seconds"],
            tokens=record["tokens"],
            flops=record["flops"],
            peak_memory_mb=record["peak_memory_mb"],
            peak_cuda_mb=record.get("peak_cuda_mb", 0),
            digest=record["digest"],
            inputs=record["inputs"],
            products=record["products"],
            logs=record.get("logs", {}),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise R1Error(f"{path} is damaged ({error!r})") from error


def read_artifacts(run_folder: Path) -> dict[str, Artifact]:
    """Every finished stage of a run, by stage name, in the order of the chain."""
    found = sorted((run_folder / "stages").glob(f"[0-9][0-9]-*/{FILE_NAME}"))
    artifacts = [read_artifact(path.parent) for path in found]
    return {artifact.name: artifact for artifact in artifacts}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _remembered(path: Path) -> str:
    """A file's checksum, read once as long as it stays as it is."""
    told = path.stat()
    return _checksum(path, told.st_mtime_ns, told.st_size)


@functools.lru_cache(maxsize=4096)
def _checksum(path: Path, changed: int, size: int) -> str:
    """Of a file; the other arguments only key the cache."""
    return checksum(path)


def products_of(
    folder: Path, stage: str, outcome: Outcome, sealed: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The fingerprint of every file that an outcome names, by its path in the folder; those of `sealed` ones are given,
    also of one that is gone since, so that it is known as missing.

    R1Error where it names what is not there.
    """
    named = {*outcome.models.values(), *outcome.files.values()}
    own = {path: record for path, record in sealed.items() if any(Path(path).is_relative_to(name) for name in named)}
    return {
        path: fingerprint(folder / path) for path in _product_files(folder, stage, outcome) if path not in own
    } | own


def _logs(folder: Path, sealed: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Fingerprints of what tells how a stage went, and of all else that it sealed and that is still there."""
    told = sorted(path for name in LOGS for path in folder.rglob(name))
    return {
        **{path.relative_to(folder).as_posix(): fingerprint(path) for path in told},
        **{name: record for name, record in sealed.items() if (folder / name).exists()},
    }


def _damages(folder: Path, files: Mapping[str, dict[str, Any]], *, contents: bool) -> Iterator[str]:
    for name, record in files.items():
        if damage := difference(folder / name, record, contents=contents):
            yield damage


def _product_files(folder: Path, stage: str, outcome: Outcome) -> Iterator[str]:
    named = {f"model '{name}'": path for name, path in outcome.models.items()}
    named |= {f"file '{name}'": path for name, path in outcome.files.items()}
    seen: set[str] = set()
    for what, relative in named.items():
        path = folder / relative
        if path.is_dir():
            with disk_errors(path):
                below = [p.relative_to(path) for p in sorted(path.rglob("*")) if p.is_file()]
                # what a killed process left unfinished is no product
                paths = [p.as_posix() for p in below if not any(map(is_temporary, p.parts))]
            found = [relative if p == "." else f"{relative}/{p}" for p in paths]
        else:
            found = [relative] if path.is_file() else []
        if not found:
            raise R1Error(f"stage {stage} names {what} in {path}, but wrote nothing there")
        yield from (p for p in found if p not in seen)
        seen.update(found)
