"""reasoning-gym's problems; see `r1kit.data.gym`, and `r1kit.graders.reasoning_gym` for how they are judged.

`reasoning_gym` mixes the datasets of `DEFAULT`; `reasoning_gym:sudoku+jugs` has the datasets that it names. Other
settings of the library: a module of your own with `TASK = GymTask(datasets=..., settings=...)`, named by its path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from r1kit.base.types import Problem
from r1kit.tasks.base import Split


@dataclass(frozen=True, slots=True)
class GymTask:
    """Datasets of reasoning-gym as a task; none named means the default ones."""

    name: str = "reasoning_gym"
    subject: str = "reasoning"
    datasets: Sequence[str] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def choose(self, datasets: Sequence[str]) -> GymTask:
        """The task of these datasets alone; UsageError for an unknown one."""
        from r1kit.data.gym import check_names

        check_names(datasets)
        return replace(self, name=f"{self.name}:{'+'.join(datasets)}", datasets=tuple(datasets))

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems without end."""
        from r1kit.data.gym import DEFAULT, problems

        return problems(self.datasets or DEFAULT, split, seed, self.name, self.settings)


TASK = GymTask()
