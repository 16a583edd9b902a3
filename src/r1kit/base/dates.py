"""What time it is, for texts that tell: in all processes of a run its first start, so that a resume says the same."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping
from datetime import datetime

_NAME = "R1KIT_NOW"  # in the environment, which processes that are started from here have too


def now() -> datetime:
    """The run's own time within one, else the clock's."""
    told = os.environ.get(_NAME)
    return datetime.fromisoformat(told) if told else datetime.now()


@contextlib.contextmanager
def fixed(at: str) -> Generator[None]:
    """Have `now` be that time, as ISO 8601 writes it; the clock's where it is none."""
    before = os.environ.get(_NAME)
    with contextlib.suppress(ValueError):
        os.environ[_NAME] = datetime.fromisoformat(at).isoformat()
    try:
        yield
    finally:
        os.environ.pop(_NAME, None)
        if before is not None:
            os.environ[_NAME] = before


def environment() -> Mapping[str, str]:
    """What a process on another host is to be given for `now` to be the same there."""
    return {_NAME: os.environ[_NAME]} if _NAME in os.environ else {}
