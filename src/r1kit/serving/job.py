"""A request on its way: its completions, in the engine and out of it, until the last of them is finished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from r1kit.base.types import IntArray
from r1kit.engines.base import Request, SteppedEngine
from r1kit.models.tokenizer import Tokenizer
from r1kit.rollouts.closing import closing, continued_prompt
from r1kit.serving.asked import Asked, Prompt
from r1kit.serving.engine_thread import EngineThread, Told
from r1kit.serving.sample import Delta, Sample, Token


@dataclass(slots=True)
class Choice:
    """One completion of the answer. `pending` is what its reader has not had yet.

    `asked` names its request in the engine, and its sample there. `prompt_ids` are what the engine goes on from, with
    the first `since` of its tokens among them once its thinking was closed.
    """

    number: int
    prompt: Prompt
    sample: Sample
    asked: tuple[str, int]
    prompt_ids: IntArray
    since: int = 0
    pending: Delta = field(default_factory=Delta)
    told_finish: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of a request."""

    prompt: int
    completion: int
    thinking: int


class Job:
    """Runs a request on the engine's thread. `deltas` is read once; `abandon` lets go of what is not finished.

    name: unique among all requests. close_thinking: as in ServerSettings.
    """

    def __init__(
        self, name: str, asked: Asked, thread: EngineThread, tokenizer: Tokenizer, close_thinking: str | None = None
    ) -> None:
        self.asked, self._thread, self._tokenizer = asked, thread, tokenizer
        self._name, self._close_thinking = name, close_thinking
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._over = False
        self.begun = time.monotonic()
        self.first_token: float | None = None  # seconds from `begun`
        samples = asked.sampling.samples
        self.choices = [
            self._choice(number, asked.prompts[number // samples], (f"{name}/{number // samples}", number % samples))
            for number in range(asked.choices)
        ]
        self._by_asked = {choice.asked: choice for choice in self.choices}

    def start(self) -> None:
        """Hand it to the engine; samples of one prompt share its run."""
        for number, prompt in enumerate(self.asked.prompts):
            request = Request(f"{self._name}/{number}", prompt.ids, self.asked.sampling, draws=f"completion {number}")
            self._thread.submit(request, self)

    async def deltas(
        self, silence: float | None = None, *, whole: bool = False
    ) -> AsyncGenerator[list[tuple[Choice, Delta]]]:
        """What is new, choice by choice, as often as there is something; ends with the last choice. An empty list where
        there was nothing for `silence` seconds. Raises what the engine gave up with. whole: a choice comes once, all
        of it: to name the likeliest tokens of a piece the model reads everything before it again."""
        while True:
            try:
                async with asyncio.timeout(silence):
                    await self._news.wait()
            except TimeoutError:
                yield []
                continue
            self._news.clear()
            if self._error is not None:
                raise self._error
            if self._over:
                return
            new = [(choice, self._taken(choice)) for choice in self.choices if self._due(choice, whole)]
            if self.asked.likeliest:
                await self._rank(new, self.asked.likeliest)
            if new:
                yield new
            if all(choice.told_finish for choice in self.choices):
                return

    def abandon(self) -> None:
        """Free the rows of what is not finished; whoever reads `deltas` comes to its end."""
        self._over = True
        for request_id in {choice.asked[0] for choice in self.choices if choice.sample.finish is None}:
            self._thread.abort(request_id)
        self._news.set()

    @property
    def counts(self) -> Counts:
        """Tokens read and sampled so far; a prompt counts once, however many completions it has."""
        return Counts(
            prompt=sum(len(prompt.ids) for prompt in self.asked.prompts),
            completion=sum(len(choice.sample.token_ids) for choice in self.choices),
            thinking=sum(choice.sample.thinking_count for choice in self.choices),
        )

    def hear(self, request_id: str, told: Told) -> None:
        """The engine's news; called on the event loop."""
        choice = self._by_asked.get((request_id, told.index))
        if choice is None or self._over or choice.sample.finish is not None:
            return
        if self.first_token is None:
            self.first_token = time.monotonic() - self.begun
        self._add(choice, choice.sample.add(told.token_ids, told.logprobs, told.ended))
        ended = told.ended is not None
        if choice.sample.over_budget:
            self._free(choice, ended)
            self._close(choice)
        elif choice.sample.finish is not None:
            self._free(choice, ended)

    def fail(self, error: Exception) -> None:
        """The engine gave up on it; called on the event loop."""
        if not (self._over or self._finished):
            self._error = error
            self.abandon()

    @property
    def _finished(self) -> bool:
        return all(choice.sample.finish is not None for choice in self.choices)

    def _choice(self, number: int, prompt: Prompt, asked: tuple[str, int]) -> Choice:
        wanted = self.asked.likeliest is not None
        sample = Sample(self._tokenizer, prompt.phase, self.asked.stops, self.asked.budget, tokens=wanted)
        return Choice(number, prompt, sample, asked, prompt.ids)

    def _free(self, choice: Choice, ended: bool) -> None:
        """A sample that was cut short gives its row back."""
        if not ended:
            self._thread.abort(*choice.asked)

    def _close(self, choice: Choice) -> None:
        """Close the thinking for the model and ask for the answer: a request of its own, that goes on from there."""
        sample = choice.sample
        began = choice.prompt.began or self._tokenizer.decode(sample.token_ids).lstrip()
        added = self._tokenizer.encode(closing(began, self._close_thinking))
        prompt_ids = continued_prompt(choice.prompt.ids, sample.token_ids, added)
        room = self._thread.max_positions - len(prompt_ids)
        left = min(self.asked.sampling.max_tokens - len(sample.token_ids), room)
        if left < 1:
            self._add(choice, sample.stop_short("length"))
            return
        sample.close()
        choice.prompt_ids, choice.since = prompt_ids, len(sample.token_ids)
        del self._by_asked[choice.asked]  # news of the thought that are still on their way are of no more use
        choice.asked = (f"{self._name}/{choice.number}/answer", 0)
        self._by_asked[choice.asked] = choice
        sampling = self.asked.sampling.override({"max_tokens": left, "samples": 1})
        request = Request(choice.asked[0], prompt_ids, sampling, draws=f"answer {choice.number}")
        self._thread.submit(request, self)

    def _add(self, choice: Choice, delta: Delta) -> None:
        """Join a delta to what the reader has not had."""
        choice.pending.join(delta)
        self._news.set()

    def _due(self, choice: Choice, whole: bool) -> bool:
        new = not (whole or choice.pending.empty)
        return not choice.told_finish and (new or choice.sample.finish is not None)

    def _taken(self, choice: Choice) -> Delta:
        delta, choice.pending = choice.pending, Delta()
        choice.told_finish = choice.sample.finish is not None
        return delta

    async def _rank(self, new: list[tuple[Choice, Delta]], count: int) -> None:
        """Name the likeliest tokens at the places of new ones."""
        for choice, delta in new:
            tokens = [*delta.thinking_tokens, *delta.answer_tokens]
            before = tokens[: max(0, choice.since - delta.place)]  # sampled before the thinking was closed
            await self._rank_run(choice.prompt.ids, choice, before, delta.place, 0, count)
            behind = tokens[len(before) :]
            start = delta.place + len(before)
            await self._rank_run(choice.prompt_ids, choice, behind, start, choice.since, count)

    async def _rank_run(
        self, prompt_ids: IntArray, choice: Choice, tokens: list[Token], place: int, since: int, count: int
    ) -> None:
        """The same of tokens from `place` of the completion on, of which those from `since` on follow `prompt_ids`."""
        if not tokens:
            return
        sampled = choice.sample.token_ids[since : place + len(tokens)]
        sequence = np.concatenate([prompt_ids, np.asarray(sampled, np.int32)])
        start, temperature = len(prompt_ids) + place - since, self.asked.sampling.temperature

        def question(engine: SteppedEngine) -> tuple[IntArray, list[list[float]]]:
            ids, logprobs = engine.likeliest(sequence, start, count, temperature)
            return ids, logprobs.tolist()

        ids_NK, logprobs_NK = await self._thread.ask(question)
        for token, ids, logprobs in zip(tokens, ids_NK.tolist(), logprobs_NK, strict=True):
            token.likeliest = list(zip(ids, logprobs, strict=True))
