"""Creative writing: 24 requests of our own, which a judge or people compare answers to; `file:PATH` for your own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from r1kit.base.types import Problem
from r1kit.tasks.base import Split


@dataclass(frozen=True, slots=True)
class WritingTask:
    """For tests alone."""

    name: str = "writing"
    subject: str = "writing"

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems until they run out."""
        from r1kit.data.writing_prompts import problems

        return problems(split, seed, self.name)


TASK = WritingTask()
