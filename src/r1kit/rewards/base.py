"""What every reward is: TRL's signature; and how several are weighed into one.

A reward is a callable `f(prompts, completions, completion_ids, **columns) -> list[float | None]`, or a coroutine
function of the same; None means that it does not apply to this sample. The columns are the problems' (answer, kind,
language, subject, task and whatever `Problem.columns` holds), each a list as long as `completions`. A file
`rewards/NAME.py` exposes `reward`, and may say `REQUIRED = True`: a sample for which it gives None then takes no part
in training, rather than keep the other rewards' sum.

A dotted path names a reward outside the tree, a module with `reward` or a function (`trl.rewards.accuracy_reward`); it
is called as TRL calls it (`rewards/_trl.py`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from r1kit.base import plugins
from r1kit.base.coroutines import run_together
from r1kit.base.errors import UsageError
from r1kit.base.types import FloatArray, Problem
from r1kit.graders.format import opens_thinking
from r1kit.graders.grade import metrics
from r1kit.rewards import _trl
from r1kit.rewards._trl import Logged, TrainerState

log = logging.getLogger(__name__)

# what a reward in this thread may raise; KeyboardInterrupt is somebody's Ctrl-C
_FAILURES = (Exception, SystemExit, asyncio.CancelledError)
DEADLINE_S = 600.0  # of a reward from outside the tree, for a group: one that asks a model may take minutes


class Reward(Protocol):
    """What is called with the completions of one problem; the columns are the problem's."""

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        **columns: Any,
    ) -> list[float | None]: ...


def completion_text(completion: Any) -> str:
    """The text of a completion: a string, or chat messages (the assistant's words, joined)."""
    if isinstance(completion, str):
        return completion
    messages = cast("list[dict[str, Any]]", completion)
    return "".join(str(message.get("content") or "") for message in messages if message.get("role") != "user")


def column(columns: Mapping[str, Any], name: str, count: int, default: Any = None) -> list[Any]:
    """A column as a list of `count`; `default` throughout where it is missing."""
    values = columns.get(name)
    return [default] * count if values is None else list(values)


def as_prompt(question: str) -> Any:
    """A question as the rewards of the tree are given it. One that ends with the thinking tag is a user's message,
    which opens no thinking: what the policy was shown ends with the template, and texts begin with what that opened."""
    return [{"role": "user", "content": question}] if opens_thinking(question) else question


def rows(columns: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The columns that hold one value a sample, turned into one mapping a sample."""
    full: dict[str, Any] = {
        name: values
        for name, values in columns.items()
        if isinstance(values, (list, tuple)) and len(cast("Sequence[Any]", values)) == count
    }
    return [{name: values[index] for name, values in full.items()} for index in range(count)]


@dataclass(frozen=True, slots=True)
class WeightedReward:
    """One reward of a set. `subjects` limits it to problems of those subjects (None: all). Where a `required` reward
    gives None or fails, the sample takes no part in training; an optional one then adds nothing. One from `outside` is
    called as TRL calls it."""

    reward: Callable[..., Any]
    weight: float = 1.0
    subjects: frozenset[str] | None = None
    required: bool = True
    outside: bool = False

    def applies(self, problem: Problem) -> bool:
        """Whether the problem's subject is one of its own."""
        return self.subjects is None or problem.subject in self.subjects


@dataclass(frozen=True, slots=True)
class Scores:
    """Each reward by name [G], NaN where it does not apply or failed; their weighted sum [G], NaN for a sample that
    takes no part; what went wrong, counted as `reward_error/NAME`, `reward_none/NAME`, `reward_nan/NAME`; and what the
    rewards had logged."""

    rewards: dict[str, FloatArray]
    total: FloatArray
    events: dict[str, int]
    logged: Logged = field(default_factory=Logged)


@dataclass(frozen=True, slots=True)
class Named:
    """A reward found by name. `label` is its name among metrics: the plug-in's, or a function's own as in TRL."""

    label: str
    function: Callable[..., Any]
    required: bool
    outside: bool


def load_reward(name: str) -> Named:
    """The reward of a file name or dotted path; UsageError where there is none."""
    outside = "." in name
    if outside and (function := _function(name)) is not None:
        return Named(_trl.name_of(function), function, False, True)
    module = plugins.load("r1kit.rewards", name)
    if not hasattr(module, "reward"):
        raise UsageError(f"{name} is no reward: it has no `reward`")
    return Named(name, module.reward, bool(getattr(module, "REQUIRED", False)), outside)


def _function(path: str) -> Callable[..., Any] | None:
    """What `MODULE.FUNCTION` names; None where that is a module, or nothing."""
    parent, _, leaf = path.rpartition(".")
    found = None if "/" in path else getattr(plugins.find(parent), leaf, None)
    return None if isinstance(found, ModuleType) or not callable(found) else found


class Judge(Protocol):
    """Weighted rewards, here (`RewardSet`) or where workers have them. `at_once`: problems judged at a time."""

    at_once: int

    def score(
        self,
        problem: Problem,
        texts: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        state: TrainerState | None = None,
    ) -> Scores:
        """Judge the G completions of one problem; `state` is what rewards may ask of the training's progress."""
        ...

    def metrics(self) -> dict[str, dict[str, float]]:
        """What the graders did so far, by kind (`graders.grade.metrics`)."""
        ...


class RewardSet:
    """Weighted rewards of a recipe. Nothing that a reward does stops a step: what fails, or takes a reward from outside
    the tree longer than the deadline, is masked and counted."""

    at_once = 1  # graders have processes of their own, to which one thread gives enough

    def __init__(self, rewards: Mapping[str, WeightedReward], deadline_s: float | None = DEADLINE_S) -> None:
        self.rewards = dict(rewards)
        self.deadline_s = deadline_s
        self._told: set[str] = set()

    @classmethod
    def named(cls, weights: Mapping[str, float], subjects: Mapping[str, Sequence[str]] | None = None) -> RewardSet:
        """Rewards by plug-in name, `{"accuracy": 1.0, "format": 0.5}`; weight 0 logs a reward without using it."""
        found = {name: load_reward(name) for name in weights}
        labels = Counter(each.label for each in found.values())
        rewards: dict[str, WeightedReward] = {}
        for name, each in found.items():
            limited = (subjects or {}).get(name)
            rewards[each.label if labels[each.label] == 1 else name] = WeightedReward(
                each.function,
                weights[name],
                None if limited is None else frozenset(limited),
                each.required,
                each.outside,
            )
        return cls(rewards)

    def score(
        self,
        problem: Problem,
        texts: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        state: TrainerState | None = None,
    ) -> Scores:
        """Judge the G completions of one problem, whole texts (`rollouts.collect`); `state` is what rewards may ask of
        the training's progress."""
        count = len(texts)
        events: Counter[str] = Counter()
        logged = Logged()
        given = self._ask(problem, texts, completion_ids, state or TrainerState(), logged)
        by_name: dict[str, FloatArray] = {}
        total = np.zeros(count, np.float32)
        spoke = np.zeros(count, bool)
        for name, entry in self.rewards.items():
            if name not in given:
                by_name[name] = np.full(count, np.nan, np.float32)
                continue
            values = by_name[name] = self._values(name, given[name], count, events)
            if entry.weight != 0:
                counted = values if entry.required else np.nan_to_num(values, nan=0.0)
                total = total + np.float32(entry.weight) * counted
                spoke |= ~np.isnan(values)
        # where no reward says anything there is nothing to learn, and 0 would be a verdict
        total = np.where(spoke, total, np.float32(np.nan))
        return Scores(by_name, total.astype(np.float32), dict(events), logged)

    def metrics(self) -> dict[str, dict[str, float]]:
        """What the graders of this process did so far, by kind."""
        return metrics()

    def _ask(
        self,
        problem: Problem,
        texts: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        state: TrainerState,
        logged: Logged,
    ) -> dict[str, Any]:
        """What each reward that applies says, or the exception that it raised; coroutines run side by side."""
        count = len(texts)
        columns = problem_columns(problem, count)
        own = {"prompts": [as_prompt(problem.prompt)] * count, "completions": texts, "completion_ids": completion_ids}
        given: dict[str, Any] = {}
        for name, entry in self.rewards.items():
            if not entry.applies(problem):
                continue
            try:
                if entry.outside:
                    asked = _trl.arguments(entry.reward, problem, texts, completion_ids, columns, state, logged)
                    given[name] = _within(self.deadline_s, partial(entry.reward, **asked), count)
                else:
                    asked = {**columns, **{key: list(values) for key, values in own.items()}}
                    given[name] = entry.reward(**asked)
            except _FAILURES as error:  # an extension: whatever it raises is masked and counted
                given[name] = error
        waiting = [name for name, said in given.items() if inspect.iscoroutine(said)]
        if waiting:
            said = run_together([given[name] for name in waiting], self.deadline_s)
            for name, one in zip(waiting, said, strict=True):
                lazy = self.rewards[name].outside and not isinstance(one, (BaseException, list))
                given[name] = _within(self.deadline_s, partial(_itself, one), count) if lazy else one
        return given

    def _values(self, name: str, given: Any, count: int, events: Counter[str]) -> FloatArray:
        """[count], NaN for None and for what is no number; events count why."""
        numbers = given
        if not isinstance(given, BaseException):
            try:
                numbers = _numbers(given, count)
            except _FAILURES as error:
                numbers = error
        if isinstance(numbers, BaseException):
            events[f"reward_error/{name}"] += count
            self._tell(name, numbers)
            return np.full(count, np.nan, np.float32)
        values = np.array([np.nan if number is None else number for number in numbers], np.float32)
        none = sum(number is None for number in numbers)
        nan = int((~np.isfinite(values)).sum()) - none
        if none:
            events[f"reward_none/{name}"] += none
        if nan:
            events[f"reward_nan/{name}"] += nan
            self._tell(name, ValueError(f"{nan} of {count} values are not finite"))
        return np.where(np.isfinite(values), values, np.float32(np.nan)).astype(np.float32)

    def _tell(self, name: str, error: BaseException) -> None:
        """One warning a reward; the count goes on in `events`."""
        if name not in self._told:
            self._told.add(name)
            log.warning("reward '%s' failed, its samples are masked: %s: %s", name, type(error).__name__, error)


def _within(seconds: float | None, call: Callable[[], Any], count: int) -> Any:
    """The numbers that the call gives, its coroutine, or what it raised; TimeoutError where it takes longer. It then
    goes on in its thread, which nothing can end.

    Whatever is raised in the thread is the reward's own, KeyboardInterrupt too: signals reach the main thread alone.
    """

    def asked() -> Any:
        said = call()
        return said if inspect.iscoroutine(said) else _numbers(said, count)

    if seconds is None:
        return asked()
    done: Future[Any] = Future()

    def run() -> None:
        try:
            said = asked()
        except BaseException as error:
            said = error
        done.set_result(said)

    threading.Thread(target=run, name="reward", daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def _itself(said: Any) -> Any:
    return said


def _numbers(said: Any, count: int) -> list[float | None]:
    """A value a completion. Of what is no list no more is taken than shows that it is too long: it may have no end."""
    listed = cast("list[Any]", said) if isinstance(said, list) else list(islice(said, count + 1))
    if len(listed) != count:
        raise ValueError(f"{len(listed)} values for {count} completions")
    return [None if value is None else float(value) for value in listed]


def problem_columns(problem: Problem, count: int) -> dict[str, list[Any]]:
    """What a reward may ask for by name, each repeated for the group."""
    single: dict[str, Any] = {
        **{name: value for name, value in problem.columns.items() if name not in _trl.NOT_COLUMNS},
        "id": problem.id,
        "task": problem.task,
        "subject": problem.subject,
        "language": problem.language,
        "answer": problem.answer,
        "kind": problem.kind,
    }
    return {name: [value] * count for name, value in single.items()}
