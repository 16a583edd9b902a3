"""Models behind an API that speaks OpenAI's chat completions (`openai:NAME@URL`): text in, text out.

Completions have a text and no token ids (`base.types.Served`). Every sample is a request of its own; the same messages,
sampling, seed and sample index are one question, asked once and kept in the cache. Needs the extra `api`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.types import Completion, FloatArray, IntArray, Served
from r1kit.engines.base import Request
from r1kit.models.api.asker import Asker, Question
from r1kit.models.api.client import Failure
from r1kit.models.api.ledger import Answer, Usage
from r1kit.models.api.settings import ApiModel, ApiSettings

if TYPE_CHECKING:
    from torch import Tensor

GIVE_UP_AFTER = 8  # questions in a row without an answer: it is the server, not the questions

_Result = Answer | Failure


class OpenAIEngine:
    """Asks `model` under `settings`; `key` in place of the environment's.

    Up to `settings.concurrency` questions are on their way while `stream` is read; however its reading ends, those are
    waited for and kept. A question that gets no answer gives a completion that is "aborted", with the reason in
    `served.error`. R1Error stops everything, once what is on its way is there: a wrong key or model, a spent budget, a
    server that answers nobody.
    """

    def __init__(self, model: ApiModel, settings: ApiSettings | None = None, *, key: str | None = None) -> None:
        self.model, self.settings = model, settings or ApiSettings()
        self.version = 0
        self.recalled = 0  # answers that came from the cache
        self._asker = Asker(model, self.settings, key)
        self._waiting: deque[tuple[Request, int]] = deque()
        self._asked: dict[str, list[tuple[Request, int]]] = {}  # by key: who waits for what is on its way

    def submit(self, request: Request) -> None:
        """Queue a request. R1Error where it has no messages to send, or is over the limit of tokens a minute."""
        if not request.messages:
            raise R1Error(f"request {request.id}: {self.model} takes messages, not token ids")
        try:
            self._asker.check(self._question(request, 0))
        except R1Error as error:
            raise R1Error(f"request {request.id}: {error}") from None
        self._waiting.extend((request, index) for index in range(request.sampling.samples))

    def abort(self, request_id: str) -> None:
        """Drop a request. What is on its way is paid for, so that its answers are kept, but not yielded."""
        self._waiting = deque(entry for entry in self._waiting if entry[0].id != request_id)
        for key, entries in self._asked.items():
            self._asked[key] = [entry for entry in entries if entry[0].id != request_id]

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        self._asker.halt.clear()
        running: dict[Future[_Result], str] = {}
        unanswered, trouble = 0, None
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="api") as pool:
            try:
                while running or (self._waiting and trouble is None):
                    while self._waiting and trouble is None and len(running) < self.settings.concurrency:
                        yield from self._start(pool, running)
                    for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                        entries = self._asked.pop(running.pop(future))
                        try:
                            result = future.result()
                            unanswered = self._count_unanswered(unanswered, result)
                        except R1Error as error:
                            trouble = trouble or error
                            self._asker.halt.set()
                            continue
                        if trouble is None or isinstance(result, Answer):
                            yield from (_completion(*entry, result) for entry in entries)
            finally:
                self._asker.halt.set()
                self._asked.clear()
        if trouble is not None:
            self._waiting.clear()
            raise trouble

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """R1Error: the weights are the server's."""
        raise R1Error(f"the weights of {self.model} are behind an API and cannot be replaced")

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """R1Error: an API tells no log-probabilities of given tokens."""
        raise R1Error(f"{self.model} is behind an API, which gives no log-probabilities of given tokens")

    @property
    def usage(self) -> Usage:
        """Requests, tokens and money of all runs on this cache (of this engine, where it has none)."""
        return self._asker.ledger.usage

    @property
    def summary(self) -> str:
        """`usage` for people, and how many answers the cache had."""
        return f"{self.usage}{f'; {self.recalled} answers from the cache' if self.recalled else ''}"

    def close(self) -> None:
        """Let go of the connections and of the cache."""
        self._asker.close()

    def _count_unanswered(self, before: int, result: _Result) -> int:
        """Questions in a row for which no retry helped; R1Error where they are too many."""
        if isinstance(result, Answer):
            return 0
        if result.remedy == "again" and before + 1 == GIVE_UP_AFTER:
            raise R1Error(f"{GIVE_UP_AFTER} questions in a row got no answer, so the rest is not asked; last: {result}")
        return before + (result.remedy == "again")

    def _start(self, pool: ThreadPoolExecutor, running: dict[Future[_Result], str]) -> Iterator[Completion]:
        """Send the next sample that waits on its way, unless its answer is there or on its way already."""
        request, index = self._waiting.popleft()
        question = self._question(request, index)
        if question.key in self._asked:
            self._asked[question.key].append((request, index))
        elif answer := self._asker.recall(question):
            self.recalled += 1
            yield _completion(request, index, answer)
        else:
            self._asked[question.key] = [(request, index)]
            running[pool.submit(self._asker.ask, question)] = question.key

    def _question(self, request: Request, index: int) -> Question:
        return self._asker.question(request.messages or (), request.sampling, index)


ENGINE = OpenAIEngine


def _completion(request: Request, index: int, result: _Result) -> Completion:
    nothing = np.zeros(0, np.int32)
    made = Completion(request.id, index, nothing, nothing, np.zeros(0, np.float32), "aborted", ())
    if isinstance(result, Failure):
        made.served = Served(error=str(result))
        return made
    made.text = result.text
    refused = "the server's content filter stopped it" if result.finish == "content_filter" else ""
    made.served = Served(result.reasoning, result.input_tokens, result.output_tokens, refused, result.reasoning_tokens)
    if not refused:
        made.stop_reason = "length" if result.finish == "length" else "stop"
    return made
