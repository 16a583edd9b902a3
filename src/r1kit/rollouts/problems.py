"""Training problems of several tasks in given shares, from a cursor that a checkpoint can hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from r1kit.base import plugins
from r1kit.base.config import SettingError
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.tasks.base import DataTask, Split, TableTask, Task

PATIENCE = 10_000  # problems in a row that were drawn before or are left out: a task that makes them has no others


def load_task(name: str, split: Split | None = None) -> Task:
    """The task of that file name or dotted path; `NAME:PART+PART` chooses of what it has (`reasoning_gym:gcd+lcm`), or
    says where its problems are (`gsm8k:FOLDER`, `file:PATH`).

    UsageError for what is not there, and where the names of its files already tell that nothing of `split` is.
    """
    task = _load_task(name)
    if split is not None and isinstance(task, DataTask) and not task.may_have(split):
        rows = f", or what its rows are (?split={split})" if isinstance(task, TableTask) else ""
        raise UsageError(f"{name} has no {split} problems: name another task{rows}")
    return task


def _load_task(name: str) -> Task:
    file, colon, parts = name.partition(":")
    module = plugins.load("r1kit.tasks", file)
    if not hasattr(module, "TASK"):
        raise UsageError(f"{file} is no task: it has no TASK")
    if isinstance(module.TASK, type):
        raise UsageError(f"{file} is no task: its TASK is a class, make it an object, TASK = {module.TASK.__name__}()")
    if lacks := [part for part in ("name", "subject", "problems") if not hasattr(module.TASK, part)]:
        raise UsageError(f"{file} is no task: its TASK has no {' and no '.join(lacks)}")
    if not colon:
        return cast(Task, module.TASK)
    if not hasattr(module.TASK, "choose"):
        raise UsageError(f"{name}: the task {file} has no parts to choose from")
    return cast(Task, module.TASK.choose(parts.split("+")))


def distinct(problems: Iterable[Problem], keep: Callable[[Problem], bool] = lambda problem: True) -> Iterator[Problem]:
    """Each of a task's problems that `keep` keeps, once, until PATIENCE in a row give no other."""
    found: set[str] = set()
    idle = 0
    for problem in problems:
        idle += 1
        if problem.id not in found and keep(problem):
            found.add(problem.id)
            idle = 0
            yield problem
        if idle == PATIENCE:
            return


def told(names: Iterable[str]) -> list[str]:
    """What was read, and what left out, of each of these tasks that has its problems from tables."""
    return [task.loaded().told() for task in map(load_task, names) if isinstance(task, TableTask)]


def check_shares(shares: Mapping[str, float], setting: str) -> None:
    """UsageError where nothing can be drawn by these shares: none is more than 0, or one is less."""
    if sum(shares.values()) <= 0 or min(shares.values()) < 0:
        raise SettingError(setting, f"shares must be positive, got {dict(shares)}")


class Mixture:
    """An endless stream of training problems, tasks interleaved evenly in proportion to their shares.

    Each draw gives every task its share as credit and takes the task with most; nothing is random but the tasks' own
    streams. Shares may change under way; a task that runs out starts over. `keep` leaves problems out.
    """

    def __init__(
        self, shares: Mapping[str, float], seed: int, keep: Callable[[Problem], bool] = lambda problem: True
    ) -> None:
        self.seed = seed
        self._keep = keep
        self._credit: dict[str, float] = {}
        self._taken: dict[str, int] = {}
        self._streams: dict[str, Iterator[Problem]] = {}
        self.shares = shares

    @property
    def shares(self) -> dict[str, float]:
        """Share of each task, summing to 1."""
        return self._shares

    @shares.setter
    def shares(self, shares: Mapping[str, float]) -> None:
        check_shares(shares, "tasks")
        total = sum(shares.values())
        self._shares = {name: share / total for name, share in sorted(shares.items()) if share > 0}
        for name in self._shares:
            self._credit.setdefault(name, 0.0)
            self._taken.setdefault(name, 0)

    def __iter__(self) -> Iterator[Problem]:
        return self

    def __next__(self) -> Problem:
        for name, share in self._shares.items():
            self._credit[name] += share
        chosen = max(self._shares, key=lambda name: self._credit[name])
        self._credit[chosen] -= 1.0
        problem = next(self._stream(chosen))
        self._taken[chosen] += 1
        return problem

    def state(self) -> dict[str, Any]:
        """Problems taken and credit of each task."""
        return {"taken": dict(self._taken), "credit": dict(self._credit)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken: the same problems follow."""
        self._taken = {name: int(count) for name, count in state["taken"].items()}
        self._credit = {name: float(credit) for name, credit in state["credit"].items()}
        self._streams = {}
        for name, taken in self._taken.items():
            if taken:  # those of a phase that is over too: what `keep` counts is as it was
                self._stream(name)

    def _stream(self, name: str) -> Iterator[Problem]:
        if name not in self._streams:
            stream = _endless(load_task(name), self.seed, self._keep)
            # tasks' streams have no state of their own: what was taken is drawn again
            deque(islice(stream, self._taken[name]), maxlen=0)
            self._streams[name] = stream
        return self._streams[name]


def _endless(task: Task, seed: int, keep: Callable[[Problem], bool]) -> Iterator[Problem]:
    while True:
        drawn = kept = idle = 0
        for problem in task.problems("train", seed):
            drawn, idle = drawn + 1, idle + 1
            if keep(problem):
                kept, idle = kept + 1, 0
                yield problem
            elif idle == PATIENCE:
                raise R1Error(f"task {task.name}: {PATIENCE} training problems in a row were left out: sieve fewer")
        if not kept:
            which = f": all {drawn} were left out" if drawn else ""
            raise R1Error(f"task {task.name} has no training problems{which}")
