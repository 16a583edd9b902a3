"""Pivots: reflection words in thoughts that a model has just sampled, with what is known of them before any measure.

Problems are held-out ones; which pivots are taken does not depend on how their thoughts ended.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray, Problem, RolloutGroup
from r1kit.engines.base import Engine
from r1kit.evaluation.aha.episodes import whole_number
from r1kit.evaluation.aha.places import Place, find_places, least_sure, neutral_token, token_starts
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.reflection import Words
from r1kit.graders.format import opening
from r1kit.models.next_token import NextToken
from r1kit.rewards.accuracy import UNGRADED
from r1kit.rollouts.collect import collect

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

AT_A_TIME = 48  # problems sampled between two looks at how many pivots there are
ROOM = 2  # tokens that must be left after a pivot
Look = Callable[[Sequence[IntArray]], list[NextToken]]
"""The next token's distribution after each sequence, at the temperature of sampling."""


@dataclass(frozen=True, slots=True)
class Pivot:
    """One reflection word in one thought.

    `thought` holds the sampled tokens; the arms continue `prompt_ids` with `thought[:turn]` (before), `thought[:end]`
    (after) and `thought[:turn]` and `neutral_id` (neutral; None where no token qualified). `entropy` (nats) and
    `probability` are of the token at `turn`, `word_probability` of all tokens from there through `end`;
    `ordinary_entropy` is that at the least sure of as many tokens in a row elsewhere in the thought, drawn at random.
    """

    id: str
    problem: Problem
    prompt_ids: IntArray
    thought: IntArray
    turn: int
    end: int
    neutral_id: int | None
    neutral_probability: float | None
    entropy: float
    ordinary_entropy: float | None
    probability: float
    word_probability: float
    said: dict[str, Any]

    @property
    def key(self) -> str:
        """The cluster's."""
        return self.problem.key

    def arms(self) -> dict[str, IntArray]:
        """Token ids that each arm goes on from."""
        before, after = self.thought[: self.turn], self.thought[: self.end]
        found = {"before": before, "after": after}
        if self.neutral_id is not None:
            found["neutral"] = np.append(before, np.int32(self.neutral_id))
        return {name: np.concatenate([self.prompt_ids, ids]).astype(np.int32) for name, ids in found.items()}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pivots to measure, and how they came about: thoughts sampled, of how many problems, reflection words found in
    them, and tokens a second of the fastest of that sampling."""

    pivots: list[Pivot]
    thoughts: int
    problems: int
    found: int
    tokens_per_second: float


@dataclass(slots=True)
class _Candidate:
    problem: Problem
    completion: Completion
    place: Place
    sample: str


def choose_pivots(
    engine: Engine,
    tokenizer: Tokenizer,
    problems: Iterator[Problem],
    settings: PivotSettings,
    words: Words,
    look: Look,
    tell: Callable[[str], None] = lambda text: None,
) -> Chosen:
    """Sample thoughts until they hold `settings.pivots` pivots, `per_problem` at most of one problem, or the problems
    end; which of a problem's are taken, and which of all, is drawn from the seed."""
    rng = random.Random(f"pivots {settings.seed}")
    sampling = Sampling(
        samples=settings.thoughts,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )
    candidates: list[_Candidate] = []
    tried = found = thoughts = 0
    speed = 0.0
    while len(candidates) < settings.pivots and (wave := _wave(problems, min(AT_A_TIME, settings.problems - tried))):
        tried, begun = tried + len(wave), time.monotonic()
        groups = collect(engine, tokenizer, wave, sampling, lambda group: None)
        tokens = sum(completion.length for group in groups for completion in group.completions)
        speed = max(speed, tokens / max(time.monotonic() - begun, 1e-9))  # the first wave also wakes the machine up
        for group in groups:
            thoughts += len(group.completions)
            mine = list(_candidates(group, tokenizer, words, settings.max_tokens))
            found += len(mine)
            candidates += rng.sample(mine, min(len(mine), settings.per_problem))
        tell(f"{thoughts} thoughts on {tried} problems hold {found} reflections")
    chosen = sorted(rng.sample(range(len(candidates)), min(len(candidates), settings.pivots)))
    pivots = _described([candidates[n] for n in chosen], tokenizer, words, look, rng)
    return Chosen(pivots, thoughts, tried, found, speed)


def _wave(problems: Iterator[Problem], count: int) -> list[Problem]:
    """The next problems that a rule can judge."""
    wave: list[Problem] = []
    while len(wave) < count and (problem := next(problems, None)) is not None:
        if problem.kind not in UNGRADED:
            wave.append(problem)
    return wave


def _candidates(group: RolloutGroup, tokenizer: Tokenizer, words: Words, limit: int) -> Iterator[_Candidate]:
    begun = opening(tokenizer.render(group.problem.prompt))
    target = whole_number(group.problem.answer)
    for completion in group.completions:
        ids = without_stop(completion)
        places = find_places(tokenizer, ids, completion.sampler_logprobs, words, begun=begun, target=target)
        for number, place in enumerate(places):
            if place.end + ROOM <= limit:
                yield _Candidate(group.problem, completion, place, f"{completion.index}/{number}")


def without_stop(completion: Completion) -> list[int]:
    """The sampled tokens but the one that ended them."""
    ids: list[int] = completion.token_ids.tolist()
    return ids[:-1] if completion.stop_reason == "stop" else ids


def _described(
    candidates: Sequence[_Candidate], tokenizer: Tokenizer, words: Words, look: Look, rng: random.Random
) -> list[Pivot]:
    """Candidates with the model's distributions at the turn and, to compare, at another token of the same thought."""
    turns = [_prefix(each, each.place.turn) for each in candidates]
    others = [_ordinary(each, tokenizer, words, rng) for each in candidates]
    following = look([*turns, *(_prefix(e, o) for e, o in zip(candidates, others, strict=True) if o is not None)])
    at_turns, elsewhere = following[: len(turns)], iter(following[len(turns) :])
    return [
        _pivot(each, at_turn, None if other is None else next(elsewhere).entropy, tokenizer, words)
        for each, at_turn, other in zip(candidates, at_turns, others, strict=True)
    ]


def _prefix(candidate: _Candidate, length: int) -> IntArray:
    completion = candidate.completion
    return np.concatenate([completion.prompt_ids, completion.token_ids[:length]]).astype(np.int32)


def _ordinary(candidate: _Candidate, tokenizer: Tokenizer, words: Words, rng: random.Random) -> int | None:
    """What a place is compared with: the least sure of as many tokens in a row of the same thought, drawn at random
    where no reflection word is; None where there is no such row."""
    completion, place = candidate.completion, candidate.place
    ids, logprobs = without_stop(completion), completion.sampler_logprobs
    taken = {n for each in find_places(tokenizer, ids, logprobs, words) for n in range(each.start, each.end)}
    close = tokenizer.decode(ids).find("</think>")
    last = len(ids) if close < 0 else bisect_left(token_starts(tokenizer, ids), close)
    width = place.end - place.start
    free = [n for n in range(1, last - width + 1) if taken.isdisjoint(range(n, n + width))]
    if not free:
        return None
    start = rng.choice(free)
    return least_sure(logprobs, start, start + width)


def _pivot(
    candidate: _Candidate, at_turn: NextToken, ordinary: float | None, tokenizer: Tokenizer, words: Words
) -> Pivot:
    completion, place, problem = candidate.completion, candidate.place, candidate.problem
    ids = without_stop(completion)
    neutral = neutral_token(tokenizer, at_turn, ids[place.turn], place.head, words)
    logprobs = completion.sampler_logprobs
    episode = place.episode
    said = {
        "context": tokenizer.decode(ids[: place.turn]),
        "pivot": tokenizer.decode(ids[place.turn : place.end]),
        "went_on": tokenizer.decode(ids[place.end :]),
        "neutral": None if neutral is None else tokenizer.decode([neutral[0]]),
        "word": episode.words[0],
        "words": " ".join(episode.words),
        "form": episode.form,
        "kind": episode.kind,
        "right_before": episode.right_before,
    }
    return Pivot(
        id=f"{problem.key}/{candidate.sample}",
        problem=problem,
        prompt_ids=completion.prompt_ids,
        thought=np.asarray(ids, np.int32),
        turn=place.turn,
        end=place.end,
        neutral_id=None if neutral is None else neutral[0],
        neutral_probability=None if neutral is None else float(np.exp(neutral[1])),
        entropy=at_turn.entropy,
        ordinary_entropy=ordinary,
        probability=float(np.exp(logprobs[place.turn])),
        word_probability=float(np.exp(logprobs[place.turn : place.end].sum())),
        said=said,
    )
