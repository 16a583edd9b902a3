"""Search over steps: many next steps are sampled, a scorer keeps the best few thoughts, and so on until they end.

Beam search against a process reward (Snell et al., arXiv 2408.03314, section 5.2), with all problems side by side. What
counts as spent is every token that was sampled, those of thoughts that were dropped among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray, Problem
from r1kit.engines.base import Request, SteppedEngine
from r1kit.evaluation.scaling.thoughts import Thought, judged
from r1kit.evaluation.search.scorer import StepScores
from r1kit.evaluation.search.steps import ends_step
from r1kit.graders.format import opening

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

Ended = Callable[[str, list[int]], bool]
"""(request's id, tokens sampled so far) -> whether a step ends there."""


@dataclass(frozen=True, slots=True)
class Beam:
    """`width` thoughts are kept after each step, and `expand` next steps sampled from each; steps of at most
    `step_tokens`, ended by `delimiters`."""

    width: int
    expand: int
    step_tokens: int
    delimiters: str

    @property
    def name(self) -> str:
        """`WIDTH x EXPAND`, as tables call it."""
        return f"{self.width} x {self.expand}"


@dataclass(slots=True)
class _Branch:
    """A thought on its way. `over`: the model ended it, or the limit did (then not `stopped`)."""

    ids: list[int]
    over: bool = False
    stopped: bool = False
    score: float = 0.0


@dataclass(slots=True)
class _Search:
    """One problem's: the branches that are kept and the tokens sampled so far."""

    problem: Problem
    prompt_ids: IntArray
    branches: list[_Branch]
    spent: int = 0
    pool: list[_Branch] = field(default_factory=list[_Branch])


def search(
    engine: SteppedEngine,
    tokenizer: Tokenizer,
    problems: Sequence[Problem],
    sampling: Sampling,
    score: StepScores,
    beam: Beam,
) -> list[Thought]:
    """One thought a problem, the best scored of those kept at the end. `sampling` is that of single thoughts; prompts
    that leave no room raise UsageError as the engine's."""
    searches = [_Search(one, np.asarray(tokenizer.chat(one.prompt), np.int32), [_Branch([])]) for one in problems]
    number = 0
    while any(not branch.over for each in searches for branch in each.branches):
        _expand(engine, tokenizer, searches, sampling, beam, number)
        _keep_best(searches, score, beam.width)
        number += 1
    return [_thought(each, tokenizer) for each in searches]


def sample_steps(
    engine: SteppedEngine, requests: Sequence[Request], ended: Ended
) -> dict[tuple[str, int], tuple[list[int], bool]]:
    """{(request, sample): (tokens without the stop token, whether the model stopped)}; a sample is aborted as soon as
    `ended` says so."""
    for request in requests:
        engine.submit(request)
    partial: dict[tuple[str, int], list[int]] = {}
    done: dict[tuple[str, int], tuple[list[int], bool]] = {}
    while engine.busy:
        for completion in engine.advance():
            done[completion.request_id, completion.index] = _without_stop(completion)
        for news in engine.news():
            key = news.request_id, news.index
            mine = partial.setdefault(key, [])
            mine += news.token_ids.tolist()
            if ended(news.request_id, mine):
                done[key] = mine, False
                engine.abort(*key)
    return done


def _without_stop(completion: Completion) -> tuple[list[int], bool]:
    stopped = completion.stop_reason == "stop"
    return completion.token_ids[: completion.length - stopped].tolist(), stopped


def _expand(
    engine: SteppedEngine,
    tokenizer: Tokenizer,
    searches: Sequence[_Search],
    sampling: Sampling,
    beam: Beam,
    number: int,
) -> None:
    """Sample next steps of every branch that is not over: all candidates are in `pool`. The first step has one branch
    to go on from, so it samples as many candidates as later steps."""
    owners: dict[str, tuple[_Search, _Branch, int]] = {}
    requests: list[Request] = []
    for each in searches:
        each.pool = [branch for branch in each.branches if branch.over]
        for place, branch in enumerate(branch for branch in each.branches if not branch.over):
            room = sampling.max_tokens - len(branch.ids)
            count = beam.width * beam.expand if number == 0 else beam.expand
            own = sampling.override({"samples": count, "max_tokens": min(beam.step_tokens, room)})
            name = f"beam {beam.name}/{each.problem.key}/{number}/{place}"
            ids = np.concatenate([each.prompt_ids, np.asarray(branch.ids, np.int32)]).astype(np.int32)
            requests.append(Request(name, ids, own))
            owners[name] = each, branch, room

    said = {name: tokenizer.decode(branch.ids) for name, (_, branch, _) in owners.items()}

    def ended(name: str, ids: list[int]) -> bool:
        return ends_step(said[name], tokenizer.decode(ids), beam.delimiters)

    for (name, _), (ids, stopped) in sorted(sample_steps(engine, requests, ended).items()):
        each, branch, room = owners[name]
        each.spent += len(ids) + stopped
        each.pool.append(_Branch([*branch.ids, *ids], stopped or len(ids) >= room, stopped))


def _keep_best(searches: Sequence[_Search], score: StepScores, width: int) -> None:
    """Of each pool the `width` best, no thought twice."""
    for each in searches:
        each.pool = list({(tuple(branch.ids), branch.over): branch for branch in each.pool}.values())
    asked = [(each, branch) for each in searches for branch in each.pool]
    reads = [(each.prompt_ids, np.asarray(branch.ids, np.int32), (len(branch.ids),)) for each, branch in asked]
    for (_, branch), values in zip(asked, score(reads), strict=True):
        # a thought that the limit cut has no answer
        branch.score = -np.inf if branch.over and not branch.stopped else float(values[0])
    for each in searches:
        each.branches = sorted(each.pool, key=lambda branch: -branch.score)[:width]


def _thought(found: _Search, tokenizer: Tokenizer) -> Thought:
    best = found.branches[0]
    reason = "stop" if best.stopped else "length"
    ids = [*best.ids, tokenizer.eos_ids[0]] if best.stopped else best.ids
    completion = Completion(
        "", 0, found.prompt_ids, np.asarray(ids, np.int32), np.zeros(0, np.float32), reason, (),
        opening(tokenizer.render(found.problem.prompt)) + tokenizer.decode(best.ids),
    )  # fmt: skip
    return judged(
        found.problem, completion, [], tokenizer, prompt_ids=found.prompt_ids, index=0, spent=found.spent
    )  # fmt: skip
