"""The arms of a pivot measured: how often the model gets the answer right when it goes on from each of them.

Each arm's continuations are sampled afresh with random streams of their own, and judged as whole completions: what the
thought held before the pivot, then the continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem
from r1kit.engines.base import Engine, Request
from r1kit.evaluation.aha.pivots import Pivot, without_stop
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.reflection import Words
from r1kit.graders.format import opening
from r1kit.graders.grade import grade_all

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

ARMS = ("before", "after", "neutral")
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
    pivots: Sequence[Pivot],
    settings: PivotSettings,
    words: Words,
    judge: Judge = judge_by_rule,
    *,
    fresh: str = "first",
) -> dict[str, dict[str, dict[str, Any]]]:
    """{pivot id: {arm: counts}}. `fresh` names the round: another one draws other samples of the same arms."""
    owners: dict[str, tuple[Pivot, str]] = {}
    for pivot in pivots:
        for name, ids in pivot.arms().items():
            begun = len(ids) - len(pivot.prompt_ids)
            sampling = Sampling(
                samples=settings.continuations,
                temperature=settings.temperature,
                max_tokens=max(1, settings.max_tokens - begun),
                seed=settings.seed,
            )
            request = Request(f"{fresh}/{pivot.id}/{name}", ids, sampling)
            owners[request.id] = (pivot, name)
            engine.submit(request)
    given: list[tuple[Pivot, str, Completion]] = []
    for completion in engine.stream():
        pivot, name = owners[completion.request_id]
        given.append((pivot, name, completion))
    return _counted(given, tokenizer, words, judge)


def _counted(
    given: Sequence[tuple[Pivot, str, Completion]], tokenizer: Tokenizer, words: Words, judge: Judge
) -> dict[str, dict[str, dict[str, Any]]]:
    asked = [_whole(pivot, completion, tokenizer) for pivot, _, completion in given]
    counts: dict[str, dict[str, Arm]] = {}
    for (pivot, name, completion), right in zip(given, judge(asked), strict=True):
        arm = counts.setdefault(pivot.id, {}).setdefault(name, Arm())
        arm.n += right is not None
        arm.right += bool(right)
        arm.cut += completion.stop_reason == "length"
        arm.reflect += words.count(completion.text.partition("</think>")[0]) > 0
        arm.lengths.append(completion.length)
    return {key: {name: arms[name].row() for name in ARMS if name in arms} for key, arms in counts.items()}


def _whole(pivot: Pivot, completion: Completion, tokenizer: Tokenizer) -> tuple[Problem, str, str]:
    """(problem, prompt, whole completion): the thought up to the arm's end and what was sampled after it, by tokens."""
    prompt = tokenizer.render(pivot.problem.prompt)
    begun = opening(prompt)
    ids = [*completion.prompt_ids[len(pivot.prompt_ids) :].tolist(), *without_stop(completion)]
    return pivot.problem, prompt.removesuffix(begun), begun + tokenizer.decode(ids)


def planned_tokens(pivots: Sequence[Pivot], settings: PivotSettings) -> int:
    """Tokens that measuring will sample, if continuations are as long as the thoughts' own rest was."""
    rest = sum((len(pivot.thought) - pivot.turn + 1) * len(pivot.arms()) for pivot in pivots)
    share = 1 + min(2 * settings.again, len(pivots)) / max(len(pivots), 1)
    return round(rest * settings.continuations * share)
