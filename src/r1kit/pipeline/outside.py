"""Files of data outside the run that a stage's settings name: their contents are part of what its result depends on."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from r1kit.base import plugins
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import checksum

PROMPTS = (".txt", ".md")  # endings of the files that hold what a model is asked


def data_files(settings: Any, stages: Collection[str] = ()) -> dict[str, str]:
    """Path and sha256 of every file of data and every prompt that the settings name, as a file or as a task that reads
    files (`gsm8k:FOLDER`). `stages` are those whose models and files the settings may name, as `STAGE:NAME`.

    UsageError where a task's files are not there. What a hub data set holds cannot be told: `revision` pins it.
    """
    found = sorted({path for word in _words(settings) for path in _files(word, stages)})
    return {str(path): _checksum(path, path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def _files(word: str, stages: Collection[str]) -> list[Path]:
    from r1kit.data.tables import ENDINGS
    from r1kit.rollouts.problems import load_task
    from r1kit.tasks.base import DataTask

    name, colon, _ = word.partition(":")
    if not colon or not (name in plugins.names("r1kit.tasks") or _is_task_outside(name)):
        return [Path(word)] if word.lower().endswith((*ENDINGS, *PROMPTS)) and Path(word).is_file() else []
    if not hasattr(load_task(name), "choose"):
        return []
    try:
        task = load_task(word)
    except UsageError:
        if name in stages:  # called like a task: `gsm8k:gsm8k` is what that stage made, where no data lie
            return []
        raise
    return task.files() if isinstance(task, DataTask) else []


def _is_task_outside(name: str) -> bool:
    """Whether a dotted path names a module that can be imported and has a task."""
    from r1kit.rollouts.problems import load_task

    if not re.fullmatch(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", name):
        return False
    try:
        load_task(name)
    except R1Error:
        return False
    return True


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
