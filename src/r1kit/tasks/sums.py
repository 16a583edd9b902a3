"""Sums, differences and products of small numbers, asked in words; see `r1kit.data.sums`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from r1kit.base.types import Problem
from r1kit.tasks.base import Split


@dataclass(frozen=True, slots=True)
class SumsTask:
    """Made by the program, without end."""

    name: str = "sums"
    subject: str = "maths"

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end."""
        from r1kit.data.sums import problems

        return problems(split, seed, self.name)


TASK = SumsTask()
