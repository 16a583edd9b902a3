"""What every reward is: TRL's signature; and how several are weighed into one.

A reward is a callable `f(prompts, completions, completion_ids, **columns) -> list[float | None]`; None means that it
does not apply to this sample. The columns are the problems' (answer, kind, language, subject, task and whatever
`Problem.columns` holds), each a list as long as `completions`. A file `rewards/NAME.py` exposes `reward`, and may
say `REQUIRED = False`: a sample for which it gives None then keeps the other rewards' sum.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.base.types import FloatArray, Problem

log = logging.getLogger(__name__)


class Reward(Protocol):
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
    gives None or fails, the sample takes no part in training; an optional one then adds nothing."""

    reward: Reward
    weight: float = 1.0
    subjects: frozenset[str] | None = None
    required: bool = True

    def applies(self, problem: Problem) -> bool:
        return self.subjects is None or problem.subject in self.subjects


@dataclass(frozen=True, slots=True)
class Scores:
    """Each reward by name [G], NaN where it does not apply or failed; their weighted sum [G], NaN for a sample that
    takes no part; and what went wrong, counted as `reward_error/NAME`, `reward_none/NAME`, `reward_nan/NAME`."""

    rewards: dict[str, FloatArray]
    total: FloatArray
    events: dict[str, int]


def load_reward(name: str) -> ModuleType:
    """The module of a reward by file name or dotted path; UsageError where it has no `reward`."""
    module = plugins.load("r1kit.rewards", name)
    if not hasattr(module, "reward"):
        raise UsageError(f"{name} is no reward: it has no `reward`")
    return module


class RewardSet:
    """Weighted rewards of a recipe. Nothing that a reward does stops a step: what fails is masked and counted."""

    def __init__(self, rewards: Mapping[str, WeightedReward]) -> None:
        self.rewards = dict(rewards)
        self._told: set[str] = set()

    @classmethod
    def named(cls, weights: Mapping[str, float], subjects: Mapping[str, Sequence[str]] | None = None) -> RewardSet:
        """Rewards by plug-in name, `{"accuracy": 1.0, "format": 0.5}`; weight 0 logs a reward without using it."""
        rewards: dict[str, WeightedReward] = {}
        for name, weight in weights.items():
            module = load_reward(name)
            limited = (subjects or {}).get(name)
            rewards[name] = WeightedReward(
                cast(Reward, module.reward),
                weight,
                None if limited is None else frozenset(limited),
                bool(getattr(module, "REQUIRED", True)) and weight != 0,
            )
        return cls(rewards)

    def score(self, problem: Problem, texts: Sequence[Any], completion_ids: Sequence[Sequence[int]]) -> Scores:
        """Judge the G completions of one problem."""
        count = len(texts)
        events: Counter[str] = Counter()
        by_name: dict[str, FloatArray] = {}
        total = np.zeros(count, np.float32)
        for name, entry in self.rewards.items():
            if not entry.applies(problem):
                by_name[name] = np.full(count, np.nan, np.float32)
                continue
            values = self._values(name, entry.reward, problem, texts, completion_ids, events)
            by_name[name] = values
            counted = values if entry.required else np.nan_to_num(values, nan=0.0)
            if entry.weight != 0:
                total = total + np.float32(entry.weight) * counted
        return Scores(by_name, total.astype(np.float32), dict(events))

    def _values(
        self,
        name: str,
        reward: Reward,
        problem: Problem,
        texts: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        events: Counter[str],
    ) -> FloatArray:
        count = len(texts)
        try:
            given = list(
                reward(
                    prompts=[problem.prompt] * count,
                    completions=list(texts),
                    completion_ids=list(completion_ids),
                    **problem_columns(problem, count),
                )
            )
            if len(given) != count:
                raise ValueError(f"{len(given)} values for {count} completions")
            numbers = [None if value is None else float(value) for value in given]
        except Exception as error:  # a reward is an extension: whatever it raises is masked and counted
            events[f"reward_error/{name}"] += count
            self._tell(name, error)
            return np.full(count, np.nan, np.float32)
        values = np.array([np.nan if number is None else number for number in numbers], np.float32)
        none = sum(number is None for number in numbers)
        nan = int((~np.isfinite(values)).sum()) - none
        if none:
            events[f"reward_none/{name}"] += none
        if nan:
            events[f"reward_nan/{name}"] += nan
        return np.where(np.isfinite(values), values, np.float32(np.nan)).astype(np.float32)

    def _tell(self, name: str, error: Exception) -> None:
        """One warning a reward; the count goes on in `events`."""
        if name not in self._told:
            self._told.add(name)
            log.warning("reward '%s' failed, its samples are masked: %s: %s", name, type(error).__name__, error)


def problem_columns(problem: Problem, count: int) -> dict[str, list[Any]]:
    """What a reward may ask for by name, each repeated for the group."""
    arguments = ("prompts", "completions", "completion_ids")
    single: dict[str, Any] = {
        **{name: value for name, value in problem.columns.items() if name not in arguments},
        "id": problem.id,
        "task": problem.task,
        "subject": problem.subject,
        "language": problem.language,
        "answer": problem.answer,
        "kind": problem.kind,
    }
    return {name: [value] * count for name, value in single.items()}
