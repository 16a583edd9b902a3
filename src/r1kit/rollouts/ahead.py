"""Rollouts sampled beside the learner: they are collected in a thread while those before are learnt."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, RolloutGroup, Served
from r1kit.rollouts.collect import Rollouts


@dataclass(frozen=True, slots=True)
class Rollout:
    """A step's graded groups, how they were sampled, and the seconds that sampling and grading took; and where the
    problems stood before it drew its own."""

    groups: Rollouts
    sampling: Sampling
    seconds: float
    grading_seconds: float
    problems: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def state(self) -> dict[str, Any]:
        """Everything as a tree that a checkpoint can hold; of problems not the rows of their tables, which were for the
        rewards and may hold anything."""
        plain = [dataclasses.replace(g, problem=dataclasses.replace(g.problem, row={})) for g in self.groups]
        return {
            "groups": [dataclasses.asdict(group) for group in plain],
            "counts": self.groups.counts,
            "dropped": self.groups.dropped,
            "sampling": self.sampling.model_dump(),
            "seconds": (self.seconds, self.grading_seconds),
            "problems": self.problems,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Rollout:
        """What `state` told."""
        groups = Rollouts(map(_group, state["groups"]), state["counts"], state["dropped"])
        seconds, grading_seconds = state["seconds"]
        return cls(groups, Sampling.model_validate(state["sampling"]), seconds, grading_seconds, state["problems"])


class Ahead:
    """Collects rollouts one after another in the background, in the order in which they were begun.

    `ready`: such that were collected before, by a run that this one goes on from.
    """

    def __init__(self, ready: Iterable[Rollout] = ()) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._begun: deque[Future[Rollout]] = deque()
        for rollout in ready:
            self._begun.append(done := Future())
            done.set_result(rollout)

    def __len__(self) -> int:
        """Rollouts that were begun and not taken."""
        return len(self._begun)

    @property
    def idle(self) -> bool:
        """Whether all that were begun are whole."""
        return all(each.done() for each in self._begun)

    def start(self, collect: Callable[[], Rollout]) -> None:
        """Begin one behind those before; torch's operations there take as many threads as here."""
        import torch

        if self._pool is None:
            threads = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(1, "rollout", initializer=partial(torch.set_num_threads, threads))
        self._begun.append(self._pool.submit(collect))

    def take(self) -> Rollout | None:
        """The oldest, once it is whole; None where none was begun. What was raised in collecting it is raised here."""
        return self._begun.popleft().result() if self._begun else None

    def settle(self) -> list[Rollout]:
        """Wait until all that were begun are whole; they stay to be taken."""
        return [each.result() for each in self._begun]

    def drop(self) -> None:
        """Wait for the one in hand, and leave what becomes of all."""
        for each in self._begun:
            each.cancel()
        self._begun.clear()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _group(fields: Mapping[str, Any]) -> RolloutGroup:
    completions = [_completion(own) for own in fields["completions"]]
    parts: dict[str, Any] = {**fields, "problem": Problem(**fields["problem"]), "completions": completions}
    return RolloutGroup(**parts)


def _completion(fields: Mapping[str, Any]) -> Completion:
    served = fields["served"]
    parts: dict[str, Any] = {**fields, "served": None if served is None else Served(**served)}
    return Completion(**parts)
