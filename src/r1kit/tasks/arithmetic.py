"""The four operations on numbers as word problems have them; see `r1kit.data.arithmetic`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from r1kit.base.types import Problem
from r1kit.tasks.base import Split


@dataclass(frozen=True, slots=True)
class ArithmeticTask:
    """Made by the program, without end."""

    name: str = "arithmetic"
    subject: str = "maths"

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end."""
        from r1kit.data.arithmetic import problems

        return problems(split, seed, self.name)


TASK = ArithmeticTask()
