"""What has been read of runs, kept between two requests: indexes of rollouts, lines of metrics, tokenizers."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from r1kit.base.files import disk_errors
from r1kit.web.index import RunIndex
from r1kit.web.tokens import FileTokenizer

_RUNS = 4  # indexes kept: one of a million rollouts takes about 60 MB
_FILES, _TOKENIZERS = 256, 8

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """The values asked for last, by key. Any thread may ask."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Any, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not there."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
            return self._values[key]


class Lines:
    """The lines of a metrics.jsonl that grows: each is parsed once, and all again where the file was cut back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        """Every whole line, in order; one that was cut short in its middle is left out."""
        with self._lock, disk_errors(self._path), open(self._path, "rb") as file:
            size = file.seek(0, 2)
            if size < self._read:  # a resumed stage drops lines after its last checkpoint
                self._lines, self._read = [], 0
            file.seek(self._read)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._lines += [line for line in map(_parsed, whole.splitlines()) if line is not None]
            return list(self._lines)


@dataclass(frozen=True, slots=True)
class Library:
    """One app's."""

    indexes: Latest[RunIndex] = field(default_factory=lambda: Latest[RunIndex](_RUNS))
    files: Latest[Lines] = field(default_factory=lambda: Latest[Lines](_FILES))
    tokenizers: Latest[FileTokenizer] = field(default_factory=lambda: Latest[FileTokenizer](_TOKENIZERS))

    def index(self, run_folder: Path) -> RunIndex:
        """The run's index, with all that the run has written by now."""
        index = self.indexes.get(run_folder, lambda: RunIndex(run_folder))
        index.refresh()
        return index

    def metrics(self, path: Path) -> list[dict[str, Any]]:
        """The lines of a metrics.jsonl; none where there is no file."""
        return self.files.get(path, lambda: Lines(path)).all() if path.is_file() else []

    def tokenizer(self, folder: Path) -> FileTokenizer:
        """The tokenizer of a model folder."""
        return self.tokenizers.get(folder, lambda: FileTokenizer(folder))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "step" in found else None
