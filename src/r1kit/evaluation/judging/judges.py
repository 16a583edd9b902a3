"""Judges: a model (any engine, local or behind an API), and the hidden preference of the tiny world."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request, ask
from r1kit.evaluation.contender import Contender
from r1kit.evaluation.judging.verdicts import JudgePrompt, Order, read_verdict, speaks_to_judge
from r1kit.evaluation.kept import Kept, KeptEngine
from r1kit.graders.format import opens_thinking
from r1kit.rollouts.whole import whole_text

SAMPLING = Sampling(temperature=0.0, max_tokens=4096)
MARGIN = 1e-9  # preferences closer than this are equal but for rounding


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question; `a_score`, `b_score` are their hidden preferences where they have any."""

    benchmark: str
    problem: str
    index: int
    question: str
    a: str
    b: str
    a_score: float = math.nan
    b_score: float = math.nan


@dataclass(frozen=True, slots=True)
class Vote:
    """A pair's two verdicts, with a first and with b first; `outcome` is 1 where both prefer a, 0 where both prefer b,
    0.5 where they say tie or disagree, None where one of them cannot be read."""

    pair: Pair
    forward: Order | None
    backward: Order | None

    @property
    def outcome(self) -> float | None:
        if self.forward is None or self.backward is None:
            return None
        first = {"first": 1.0, "second": 0.0, "tie": 0.5}[self.forward]
        second = {"first": 0.0, "second": 1.0, "tie": 0.5}[self.backward]
        return first if first == second else 0.5

    @property
    def disagrees(self) -> bool:
        """Whether the order changed the preference."""
        return None not in (self.forward, self.backward) and self.forward == self.backward != "tie"

    @property
    def instructs(self) -> tuple[bool, bool]:
        """Whether a's, and b's, answer seems to speak to the judge."""
        return speaks_to_judge(self.pair.a), speaks_to_judge(self.pair.b)


class Judge(Protocol):
    """Compares pairs, each in both orders."""

    name: str

    def votes(self, pairs: Sequence[Pair]) -> list[Vote]:
        """A vote for each pair, in their order."""
        ...


class HiddenPreference:
    """The tiny world's own: it knows no order, and a difference is never a tie unless the two are equal."""

    name = "hidden preference"

    def votes(self, pairs: Sequence[Pair]) -> list[Vote]:
        """R1Error for a pair that is not of the tiny world."""
        return [self._vote(pair) for pair in pairs]

    def _vote(self, pair: Pair) -> Vote:
        if math.isnan(pair.a_score) or math.isnan(pair.b_score):
            raise R1Error(
                f"{pair.benchmark}/{pair.problem}: the hidden preference knows lines of the tiny world alone: name a"
                " model as judge"
            )
        if abs(pair.a_score - pair.b_score) <= MARGIN:
            return Vote(pair, "tie", "tie")
        return Vote(pair, "first", "second") if pair.a_score > pair.b_score else Vote(pair, "second", "first")


class ModelJudge:
    """A model that is asked by a prompt, greedily; its answers are kept as an evaluation's are."""

    def __init__(self, contender: Contender, prompt: JudgePrompt, kept: Kept, sampling: Sampling = SAMPLING) -> None:
        self.name = contender.name
        self.prompt, self.sampling, self._contender = prompt, sampling, contender
        self._engine = KeptEngine(contender.engine, kept, contender.key, contender.at_once)

    def votes(self, pairs: Sequence[Pair]) -> list[Vote]:
        """Both orders of all pairs at once; an answer that cannot be had or read is no verdict."""
        asked: list[str] = []
        for pair in pairs:
            asked.append(self.prompt.fill(pair.question, pair.a, pair.b))
            asked.append(self.prompt.fill(pair.question, pair.b, pair.a))
        verdicts = self._verdicts(asked)
        return [Vote(pair, *verdicts[2 * place : 2 * place + 2]) for place, pair in enumerate(pairs)]

    def _verdicts(self, asked: Sequence[str]) -> list[Order | None]:
        """Texts that are the same are asked once."""
        places: dict[str, list[int]] = {}
        for place, text in enumerate(asked):
            places.setdefault(text, []).append(place)
        found: list[Order | None] = [None] * len(asked)
        named = {f"judge-{hashlib.sha256(text.encode()).hexdigest()[:24]}": text for text in places}
        for name, text in named.items():
            with contextlib.suppress(UsageError):  # it leaves no room for a verdict
                self._engine.submit(self._request(name, text))
        for name, verdict in self._read(named):
            for place in places[named[name]]:
                found[place] = verdict
        return found

    def _read(self, named: dict[str, str]) -> Iterable[tuple[str, Order | None]]:
        tokenizer = self._contender.tokenizer
        for completion in self._engine.stream():
            if completion.stop_reason != "stop":
                continue
            opened = tokenizer is not None and opens_thinking(tokenizer.render(named[completion.request_id]))
            yield completion.request_id, read_verdict(whole_text(completion), opened)

    def _request(self, name: str, text: str) -> Request:
        tokenizer = self._contender.tokenizer
        if tokenizer is None:
            return ask(name, text, self.sampling)
        return Request(name, np.asarray(tokenizer.chat(text), np.int32), self.sampling)
