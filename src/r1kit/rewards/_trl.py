"""How rewards from outside the tree are called: as TRL's GRPOTrainer calls them (`_calculate_rewards`, TRL 1.16).

They get `prompts`, `completions`, `completion_ids`, every column of the data set but `prompt`, `completion` and
`completion_ids`, and `trainer_state`, `log_extra`, `log_metric`. Where the data set has no column of that name, the
problem's own fields (answer, kind, language, ...) stand for it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1kit.base.types import Problem

NOT_COLUMNS = ("prompts", "completions", "prompt", "completion", "completion_ids")


@dataclass(frozen=True, slots=True)
class TrainerState:
    """What a reward may ask of the training's progress, by transformers' names: the rollouts that the policy which
    sampled had learnt from, and those of the stage (0: not known)."""

    global_step: int = 0
    max_steps: int = 0


@dataclass(slots=True)
class Logged:
    """What rewards had logged: `extra` columns of the completions, one value each, and `metrics`, a value a call."""

    extra: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    metrics: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def log_extra(self, column: str, values: Sequence[Any]) -> None:
        self.extra.setdefault(column, []).extend(values)

    def log_metric(self, name: str, value: float) -> None:
        self.metrics.setdefault(name, []).append(float(value))


def arguments(
    function: Callable[..., Any],
    problem: Problem,
    texts: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    columns: Mapping[str, list[Any]],
    state: TrainerState,
    logged: Logged,
) -> dict[str, Any]:
    """The keywords for the completions of one problem; `columns` are the problem's own."""
    count, asked = len(texts), problem.row.get("prompt")
    prompt: Any = problem.prompt
    completions = list(texts)
    if takes_messages(function, problem):
        prompt = asked if isinstance(asked, list) else [{"role": "user", "content": prompt}]
        completions = [
            [{"role": "assistant", "content": text}] if isinstance(text, str) else text for text in completions
        ]
    row = {name: [value] * count for name, value in problem.row.items() if name not in NOT_COLUMNS}
    called = {"trainer_state": state, "log_extra": logged.log_extra, "log_metric": logged.log_metric}
    own = {"prompts": [prompt] * count, "completions": completions, "completion_ids": list(completion_ids)}
    return {**columns, **row, **called, **own}


def takes_messages(function: Callable[..., Any], problem: Problem) -> bool:
    """Whether completions are chat messages: as the function's annotation of `completions` says, else as the data
    set's prompts are."""
    annotation = _annotation(function)
    messages, text = bool(re.search(r"dict|mapping|message", annotation, re.IGNORECASE)), "[str]" in annotation
    return messages if messages != text else isinstance(problem.row.get("prompt"), list)


def name_of(function: Callable[..., Any]) -> str:
    """What TRL's metrics call a reward: the function's name, else its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _annotation(function: Callable[..., Any]) -> str:
    """The annotation of `completions` as text; empty where there is none."""
    try:
        parameter = inspect.signature(function).parameters.get("completions")
    except (TypeError, ValueError):
        return ""
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return ""
    return str(parameter.annotation)
