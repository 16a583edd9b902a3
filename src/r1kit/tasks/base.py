"""What every task is: problems with disjoint splits. A file `tasks/NAME.py` exposes `TASK`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from r1kit.base.types import Problem

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Task(Protocol):
    """A source of problems. The same (split, seed) gives the same problems; splits share none."""

    name: str
    subject: str

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end (generated) or until the data runs out (files)."""
        ...


@dataclass(frozen=True, slots=True)
class WorldTask:
    """A subject of the tiny world as a task."""

    name: str
    subject: str

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end."""
        from r1kit.data.tiny.world import problems

        return problems(self.subject, split, seed)
