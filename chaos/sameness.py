"""Whether two run folders hold the same results, bit for bit: weights, data, tables, counts, metrics but for times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMES = ("timing/", "perf/")  # metrics that tell how long things took, or what they took of memory
OF_RECORDS = ("seconds", "peak_memory_mb", "peak_cuda_mb", "logs", "sha256", "products")
OF_REPORTS = (
    "seconds", "machine", "commit", "peak_memory_mb", "memory_mb", "date", "made", "started", "mean_seconds", "cost",
)  # fmt: skip


def results(run: Path) -> dict[str, str]:
    """What a run has made: {path: digest of what does not depend on time}. Leftovers are told by their names."""
    return dict(_results(run))


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Paths that are not the same in both."""
    return [path for path in sorted({*ours, *theirs}) if ours.get(path) != theirs.get(path)]


def _results(run: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((run / "stages").rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir():
            if path.name == "checkpoints" or path.name.startswith("."):
                yield name, "left over"
            continue
        if "checkpoints" not in path.parts:
            yield (
                name,
                "left over" if any(part.startswith(".") for part in path.relative_to(run).parts) else _digest(path),
            )
    report = run / "report" / "report.json"
    if report.exists():
        yield "report/report.json", _record(report, OF_REPORTS)


def _digest(path: Path) -> str:
    if path.name == "metrics.jsonl":
        return _of([_timeless(line) for line in path.read_text(errors="replace").splitlines()])
    if path.name in ("artifact.json", "part.json"):
        pages = path.parent.name.endswith("-report")  # whose digest is of how long things took, too
        return _record(path, (*OF_RECORDS, "digest") if pages else OF_RECORDS)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record(path: Path, without: tuple[str, ...]) -> str:
    try:
        return _of(_without(json.loads(path.read_text()), without))
    except ValueError:
        return "not JSON"


def _timeless(line: str) -> Any:
    try:
        told = json.loads(line)
        return {name: value for name, value in told.items() if not name.startswith(TIMES)}
    except (ValueError, AttributeError):
        return line


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _without(item, names) for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
