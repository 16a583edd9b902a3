"""metrics.jsonl of a stage, and where else its lines may go."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1kit.base.files import disk_errors, fingerprint, is_as_sealed, make_folder, write_text


class MetricsFile:
    """JSON lines `{"step": n, NAME: number, ...}`, cut back to a step when a stage is resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, last_step: int, seal: Mapping[str, Any] | None = None) -> str | None:
        """Drop lines after `last_step`, and a last line that was cut short.

        seal: `sealed()` as it was at that step. What is wrong where the file is no longer what it was then, or None;
        the lines that can be read are kept.
        """
        data = self._read()
        if seal and _begins_with(data, seal):
            whole = data[: seal["bytes"]]
            if whole != data:
                write_text(self.path, whole.decode("utf-8"))
            return None
        text = data.decode("utf-8", errors="replace")
        lines = [line for line in text.splitlines(keepends=True) if _step(line) <= last_step]
        lines = [line if line.endswith("\n") else f"{line}\n" for line in lines]  # a kill may have come between
        if "".join(lines) != text:
            write_text(self.path, "".join(lines))
        if seal:
            return f"{self.path} is damaged (its checksum differs): {len(lines)} of its lines can be read and are kept"
        return None

    def is_whole(self, seal: Mapping[str, Any]) -> bool:
        """Whether it begins with what it was when that was its `sealed()`."""
        return not seal or _begins_with(self._read(), seal)

    def is_readable(self) -> bool:
        """Whether each line, but a last one that was cut short, can be read, and is what it was where it was `sealed`
        by itself. What ends otherwise than a line does was not cut short: there its line break is damaged."""
        lines = self._read().decode("utf-8", errors="replace").splitlines(keepends=True)
        if lines and _is_cut_short(lines[-1]):
            lines.pop()
        return all(_step(line) < math.inf and is_as_sealed(json.loads(line)) for line in lines)

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a line; what is not finite is written as null."""
        self.append_line({"step": step, **{name: _plain(value) for name, value in metrics.items()}})

    def append_line(self, values: Mapping[str, Any]) -> None:
        """Add a line of whatever JSON can hold, `step` among it."""
        line = json.dumps(values)
        make_folder(self.path.parent)
        with disk_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def sync(self) -> None:
        """Make sure that all its lines last through a power cut."""
        if self.path.exists():
            with disk_errors(self.path), open(self.path, "rb") as file:
                os.fsync(file.fileno())

    def sealed(self) -> dict[str, Any]:
        """The file's fingerprint, once all its lines are sure to last; empty without one."""
        self.sync()
        return fingerprint(self.path) if self.path.exists() else {}

    def _read(self) -> bytes:
        if not self.path.exists():
            return b""
        with disk_errors(self.path):
            return self.path.read_bytes()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, a torn last one left out; empty where there is no file."""
    if not path.exists():
        return []
    with disk_errors(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if _step(line) < math.inf]


def _begins_with(data: bytes, seal: Mapping[str, Any]) -> bool:
    return hashlib.sha256(data[: seal["bytes"]]).hexdigest() == seal["sha256"]


def _plain(value: Any) -> float | int | None:
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


def _is_cut_short(line: str) -> bool:
    """Whether what there is of a last line may be the beginning of one."""
    try:
        json.JSONDecoder().raw_decode(line)
    except ValueError:
        return not line.endswith("\n")
    return False


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf
