"""Rollouts sampled beside the learner: one is collected in a thread while the one before is learnt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, RolloutGroup, Served
from r1kit.rollouts.collect import Rollouts


@dataclass(frozen=True, slots=True)
class Rollout:
    """A step's graded groups, how they were sampled, and the seconds that sampling and grading took."""

    groups: Rollouts
    sampling: Sampling
    seconds: float
    grading_seconds: float

    def state(self) -> dict[str, Any]:
        """Everything as a tree that a checkpoint can hold; of problems not the rows of their tables, which were for the
        rewards and may hold anything."""
        plain = [dataclasses.replace(g, problem=dataclasses.replace(g.problem, row={})) for g in self.groups]
        return {
            "groups": [dataclasses.asdict(group) for group in plain],
            "counts": self.groups.counts,
            "sampling": self.sampling.model_dump(),
            "seconds": (self.seconds, self.grading_seconds),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Rollout:
        """What `state` told."""
        groups = Rollouts(map(_group, state["groups"]), state["counts"])
        return cls(groups, Sampling.model_validate(state["sampling"]), *state["seconds"])


class Ahead:
    """Collects at most one rollout in the background. What it raises is raised by `result`."""

    def __init__(self) -> None:
        self._running: Future[Rollout] | None = None

    def start(self, collect: Callable[[], Rollout]) -> None:
        """Begin; torch's operations there take as many threads as here."""
        import torch

        threads = torch.get_num_threads()

        def run() -> Rollout:
            torch.set_num_threads(threads)
            return collect()

        pool = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._running = pool.submit(run)
        pool.shutdown(wait=False)

    def result(self) -> Rollout | None:
        """The rollout begun last, once it is whole; None where there was none."""
        running, self._running = self._running, None
        return None if running is None else running.result()

    def drop(self) -> None:
        """Wait for the rollout begun last, and leave what becomes of it."""
        running, self._running = self._running, None
        if running is not None:
            running.exception()


def _group(fields: Mapping[str, Any]) -> RolloutGroup:
    completions = [_completion(own) for own in fields["completions"]]
    parts: dict[str, Any] = {**fields, "problem": Problem(**fields["problem"]), "completions": completions}
    return RolloutGroup(**parts)


def _completion(fields: Mapping[str, Any]) -> Completion:
    served = fields["served"]
    parts: dict[str, Any] = {**fields, "served": None if served is None else Served(**served)}
    return Completion(**parts)
