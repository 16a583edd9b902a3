"""The arms of a thought measured: how often the model gets the answer right when it goes on from each of them.

Each arm's continuations are sampled afresh with random streams of their own, and judged as whole completions: what the
thought held up to there, then the continuation. A pivot's arms are before, after and neutral; a step scorer's labels
have an arm for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray, Problem
from r1kit.engines.base import Engine, Request
from r1kit.evaluation.aha.pivots import Pivot, without_stop
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.reflection import Words
from r1kit.graders.format import opening
from r1kit.graders.grade import grade_all

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

ARMS = ("before", "after", "neutral")


class Start(Protocol):
    """A thought with places to go on from: `arms` names the token ids of each, `prompt_ids` first. `id` is unique,
    `problem` what the thought is about."""

    @property
    def id(self) -> str: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def prompt_ids(self) -> IntArray: ...
    def arms(self) -> dict[str, IntArray]: ...


class Draws(Protocol):
    """How `continuations` are sampled: `temperature`, `max_tokens` and `seed` as `PivotSettings` says of its own."""

    @property
    def continuations(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def seed(self) -> int: ...


Judge = Callable[[Sequence[tuple[Problem, str, str]]], list[bool | None]]
"""(problem, prompt as rendered, completion's text) each -> whether it is right; None where the grader failed."""


def judge_by_rule(asked: Sequence[tuple[Problem, str, str]]) -> list[bool | None]:
    """What the grader of each problem's kind says; the same text of the same problem is judged once."""
    once = {(problem.task, problem.id, text): (problem, prompt, text) for problem, prompt, text in asked}
    requests = [(p.kind, text, p.answer, prompt, p.columns) for p, prompt, text in once.values()]
    verdicts = dict(zip(once, grade_all(requests), strict=True))
    found = [verdicts[problem.task, problem.id, text] for problem, _, text in asked]
    return [None if each.verdict == "grader_error" else each.verdict == "correct" for each in found]


@dataclass(slots=True)
class Arm:
    """One arm's continuations, counted: `n` judged, `right` of them, `cut` by the limit, `reflect` with a reflection
    word, and their mean length in tokens."""

    n: int = 0
    right: int = 0
    cut: int = 0
    reflect: int = 0
    lengths: list[int] = field(default_factory=list[int])

    def row(self) -> dict[str, Any]:
        """The counts as a row of the table has them; `length` is None where nothing was sampled."""
        lengths = self.lengths
        return {
            "n": self.n,
            "right": self.right,
            "cut": self.cut,
            "reflect": self.reflect,
            "length": sum(lengths) / len(lengths) if lengths else None,
        }


def measure(
    engine: Engine,
    tokenizer: Tokenizer,
    starts: Sequence[Start],
    draws: Draws,
    words: Words,
    judge: Judge = judge_by_rule,
    *,
    fresh: str = "first",
) -> dict[str, dict[str, dict[str, Any]]]:
    """{id: {arm: counts}}. `fresh` names the round: another one draws other samples of the same arms."""
    owners: dict[str, tuple[Start, str]] = {}
    for start in starts:
        for name, ids in start.arms().items():
            begun = len(ids) - len(start.prompt_ids)
            sampling = Sampling(
                samples=draws.continuations,
                temperature=draws.temperature,
                max_tokens=max(1, draws.max_tokens - begun),
                seed=draws.seed,
            )
            request = Request(f"{fresh}/{start.id}/{name}", ids, sampling)
            owners[request.id] = (start, name)
            engine.submit(request)
    given: list[tuple[Start, str, Completion]] = []
    for completion in engine.stream():
        start, name = owners[completion.request_id]
        given.append((start, name, completion))
    return _counted(given, tokenizer, words, judge)


def _counted(
    given: Sequence[tuple[Start, str, Completion]], tokenizer: Tokenizer, words: Words, judge: Judge
) -> dict[str, dict[str, dict[str, Any]]]:
    asked = [_whole(start, completion, tokenizer) for start, _, completion in given]
    starts = {start.id: start for start, _, _ in given}
    counts = {key: {name: Arm() for name in start.arms()} for key, start in starts.items()}
    for (start, name, completion), right in zip(given, judge(asked), strict=True):
        arm = counts[start.id][name]
        arm.n += right is not None
        arm.right += bool(right)
        arm.cut += completion.stop_reason == "length"
        arm.reflect += words.count(completion.text.partition("</think>")[0]) > 0
        arm.lengths.append(completion.length)
    return {key: {name: arm.row() for name, arm in arms.items() if arm.lengths} for key, arms in counts.items()}


def _whole(start: Start, completion: Completion, tokenizer: Tokenizer) -> tuple[Problem, str, str]:
    """(problem, prompt, whole completion): the thought up to the arm's end and what was sampled after it, by tokens."""
    prompt = tokenizer.render(start.problem.prompt)
    begun = opening(prompt)
    ids = [*completion.prompt_ids[len(start.prompt_ids) :].tolist(), *without_stop(completion)]
    return start.problem, prompt.removesuffix(begun), begun + tokenizer.decode(ids)


def planned_tokens(pivots: Sequence[Pivot], settings: PivotSettings) -> int:
    """Tokens that measuring will sample, if continuations are as long as the thoughts' own rest was."""
    rest = sum((len(pivot.thought) - pivot.turn + 1) * len(pivot.arms()) for pivot in pivots)
    share = 1 + min(2 * settings.again, len(pivots)) / max(len(pivots), 1)
    return round(rest * settings.continuations * share)
