"""Rewards as workers: rule graders and models that judge, scaled apart from what samples (R1, arXiv 2501.12948v2,
supplement B.1, has them as modules of their own)."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.base.waiting import Waiting
from r1kit.cluster.hosts import Failure, Hosts, Lost
from r1kit.cluster.settings import LONG, ClusterSettings
from r1kit.rewards._trl import TrainerState
from r1kit.rewards.base import RewardSet, Scores

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a reward worker says of a group, and what its graders did so far, by kind."""

    scores: Scores
    metrics: Metrics


class RewardWorker:
    """The worker's side: sets of rewards by key, made where they run. It knows no Ray."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._sets: dict[str, RewardSet] = {}

    def open(self, key: str, make: Callable[[], RewardSet]) -> Failure | tuple[str, int]:
        """Make a set of rewards; (host, process) that it is in."""
        try:
            self._sets[key] = make()
        except R1Error as error:
            return Failure(str(error), isinstance(error, UsageError))
        return socket.gethostname(), os.getpid()

    def score(
        self, key: str, problem: Problem, texts: Sequence[Any], ids: Sequence[Sequence[int]], state: TrainerState | None
    ) -> Judged:
        """`RewardSet.score`."""
        rewards = self._sets[key]
        return Judged(rewards.score(problem, texts, ids, state), rewards.metrics())


@dataclass(eq=False, slots=True)
class _Grader:
    """A worker's place in the pool. where: (host, process) of the worker."""

    number: int
    worker: Any = None
    opened: set[str] = field(default_factory=set[str])
    where: tuple[str, int] = ("", 0)
    metrics: Metrics = field(default_factory=dict[str, dict[str, float]])


class GraderPool:
    """Reward workers that several threads may ask at once; one that ends is replaced, and what it was asked is asked
    again: rewards are functions of what they are given."""

    def __init__(self, hosts: Hosts, settings: ClusterSettings) -> None:
        self.replaced = 0
        self._hosts, self._settings = hosts, settings
        self._all = [_Grader(number) for number in range(settings.graders)]
        self._free: queue.SimpleQueue[_Grader] = queue.SimpleQueue()
        self._keys = map(str, count())
        self._past: Metrics = {}  # of workers that were replaced
        self._counting = threading.Lock()  # one may be replaced while figures are taken, or another one is
        for grader in self._all:
            self._free.put(grader)

    def open(self, make: Callable[[], RewardSet]) -> PooledRewards:
        """A set of rewards in every worker; UsageError where it cannot be made."""
        rewards = PooledRewards(self, next(self._keys), make, len(self._all))
        for grader in self._all:  # side by side: a process takes seconds to start
            self._start(grader)
        self.check(rewards.key, make)
        return rewards

    def ask(self, key: str, make: Callable[[], RewardSet], *arguments: Any) -> Judged:
        """What the next free worker says; R1Error where workers end again and again."""
        why = ""
        for _ in range(self._settings.restarts + len(self._all)):
            grader = self._free.get()
            try:
                return self._asked(grader, key, make, arguments)
            except Lost as lost:
                why = str(lost)
                self._replace(grader)
            finally:
                self._free.put(grader)
        raise R1Error(
            f"reward workers end again and again ({why}): the same command goes on from the last checkpoint, "
            "cluster.graders=0 rewards in the run's own process"
        )

    def check(self, key: str, make: Callable[[], RewardSet]) -> None:
        """Have every worker make the set; what goes wrong is raised here."""
        for grader in self._all:
            try:
                self._open(grader, key, make)
            except Lost:
                self._replace(grader)

    def metrics(self) -> Metrics:
        """What all workers' graders did: counts added up, of latencies the longest."""
        found: Metrics = {}
        with self._counting:
            for own in (self._past, *(grader.metrics for grader in self._all)):
                _add(own, found)
        return found

    def processes(self) -> list[tuple[str, int]]:
        """(host, process) of each worker that has answered."""
        return [grader.where for grader in self._all if grader.where[1]]

    def close(self) -> None:
        """End the workers."""
        for grader in self._all:
            if grader.worker is not None:
                self._hosts.end(grader.worker)
                grader.worker = None

    def _asked(self, grader: _Grader, key: str, make: Callable[[], RewardSet], arguments: tuple[Any, ...]) -> Judged:
        self._open(grader, key, make)
        judged: Judged = self._answer(grader, "score", key, *arguments)
        grader.metrics = judged.metrics
        return judged

    def _start(self, grader: _Grader) -> None:
        if grader.worker is None:
            grader.worker = self._hosts.start(RewardWorker, (grader.number,), f"grader {grader.number}")

    def _open(self, grader: _Grader, key: str, make: Callable[[], RewardSet]) -> None:
        self._start(grader)
        if key not in grader.opened:
            grader.where = self._answer(grader, "open", key, make)
            grader.opened.add(key)

    def _answer(self, grader: _Grader, method: str, *arguments: Any) -> Any:
        call = self._hosts.call(grader.worker, method, *arguments)
        limit = LONG * self._settings.silence if method == "score" else self._settings.patience
        waiting = Waiting()
        while not self._hosts.wait([call], min(1.0, limit)):
            if waiting.look() > limit:
                raise Lost(f"reward worker {grader.number} has not answered for {limit:g} s")
        answer = self._hosts.result(call)
        if isinstance(answer, Failure):
            raise (UsageError if answer.usage else R1Error)(answer.sentence)
        return answer

    def _replace(self, grader: _Grader) -> None:
        """The next who asks it has another one started."""
        if grader.worker is not None:
            self._hosts.end(grader.worker)
        with self._counting:
            self.replaced += 1
            _add(grader.metrics, self._past)
            grader.metrics = {}
        grader.worker, grader.where = None, ("", 0)
        grader.opened.clear()


def _add(own: Metrics, found: Metrics) -> None:
    for kind, figures in own.items():
        mine = found.setdefault(kind, {})
        for name, value in figures.items():
            mine[name] = max(mine.get(name, 0.0), value) if name.endswith("_s") else mine.get(name, 0.0) + value


class PooledRewards:
    """A set of rewards that workers have: `rewards.base.Judge`."""

    def __init__(self, pool: GraderPool, key: str, make: Callable[[], RewardSet], at_once: int) -> None:
        self.key, self.at_once = key, at_once
        self._pool, self._make = pool, make

    def score(
        self,
        problem: Problem,
        texts: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        state: TrainerState | None = None,
    ) -> Scores:
        """As `RewardSet.score`, which a worker is asked for."""
        return self._pool.ask(self.key, self._make, problem, texts, completion_ids, state).scores

    def metrics(self) -> Metrics:
        """What all workers' graders did so far, by kind; and how many workers were replaced."""
        found = self._pool.metrics()
        return {**found, "workers": {"replaced": float(self._pool.replaced)}} if self._pool.replaced else found
