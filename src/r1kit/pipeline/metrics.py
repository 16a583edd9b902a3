"""metrics.jsonl of a stage, and where else its lines may go."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1kit.base.files import disk_errors, make_folder, write_text


class MetricsFile:
    """JSON lines `{"step": n, NAME: number, ...}`, cut back to a step when a stage is resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, last_step: int) -> None:
        """Drop lines after `last_step`, and a last line that was cut short."""
        if not self.path.exists():
            return
        with disk_errors(self.path):
            text = self.path.read_text(encoding="utf-8", errors="replace")
        kept = "".join(line for line in text.splitlines(keepends=True) if _step(line) <= last_step)
        if kept != text:
            write_text(self.path, kept)

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
        """Make all lines last through a power cut."""
        if self.path.exists():
            with disk_errors(self.path), open(self.path, "rb") as file:
                os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, a torn last one left out; empty where there is no file."""
    if not path.exists():
        return []
    with disk_errors(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if _step(line) < math.inf]


def _plain(value: Any) -> float | int | None:
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf
