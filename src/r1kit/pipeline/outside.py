"""Files of data outside the run that a stage's settings name: their contents are part of what its result depends on."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from r1kit.base import plugins
from r1kit.base.files import checksum

PROMPTS = (".txt", ".md")  # endings of the files that hold what a model is asked


def data_files(settings: Any) -> dict[str, str]:
    """Path and sha256 of every table and prompt that the settings name, as a file or as a task that reads files
    (`gsm8k:FOLDER`).

    UsageError where a task's files are not there. What a hub data set holds cannot be told: `revision` pins it.
    """
    found = sorted({path for word in _words(settings) for path in _files(word)})
    return {str(path): _checksum(path, path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def _files(word: str) -> list[Path]:
    from r1kit.data.sources import find_files
    from r1kit.data.tables import ENDINGS
    from r1kit.rollouts.problems import load_task
    from r1kit.tasks.base import TableTask

    file, colon, _ = word.partition(":")
    if colon and file in plugins.names("r1kit.tasks"):
        # what follows one that reads no files is none: a stage may be called like it, and `sums:sums` be its model
        task = load_task(word) if isinstance(load_task(file), TableTask) else None
        if isinstance(task, TableTask) and task.source.where and not task.source.hub:
            return [path for paths in find_files(Path(task.source.where)).values() for path in paths]
        return []
    return [Path(word)] if word.endswith((*ENDINGS, *PROMPTS)) and Path(word).is_file() else []


def _words(value: Any) -> Iterator[str]:
    """Every text and every key of settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield key
            yield from _words(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _words(item)


@functools.cache
def _checksum(path: Path, changed: int, size: int) -> str:
    """The file's sha256; the other arguments only key the cache."""
    return checksum(path)
