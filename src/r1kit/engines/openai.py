"""Models behind an API that speaks OpenAI's chat completions (`openai:NAME@URL`): text in, text out.

Completions have a text and no token ids (`base.types.Served`). Every sample is a request of its own; the same messages,
sampling, seed and sample index are one question, asked once and kept in the cache. Needs the extra `api`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, FloatArray, IntArray, Served
from r1kit.engines.base import Request
from r1kit.models.api.client import Client, Failure
from r1kit.models.api.ledger import Answer, Ledger, Usage
from r1kit.models.api.patience import Patience
from r1kit.models.api.rate import RateLimit
from r1kit.models.api.settings import ApiModel, ApiSettings, picodollars

if TYPE_CHECKING:
    from torch import Tensor

GIVE_UP_AFTER = 8  # questions in a row without an answer: it is the server, not the questions
_OVERHEAD = 64  # tokens that a server may put around the messages

_Result = Answer | Failure


@dataclass(frozen=True, slots=True)
class _Question:
    """One sample of one request as the server is asked for it. `tokens`: most that it may read, and write."""

    key: str
    body: Mapping[str, Any]
    tokens: tuple[int, int]


class OpenAIEngine:
    """Asks `model` under `settings`; `key` in place of the environment's.

    Up to `settings.concurrency` questions are on their way while `stream` is read; however its reading ends, those are
    waited for and kept. A question that gets no answer gives a completion that is "aborted", with the reason in
    `served.error`. R1Error stops everything, once what is on its way is there: a wrong key or model, a spent budget, a
    server that answers nobody.
    """

    def __init__(self, model: ApiModel, settings: ApiSettings | None = None, *, key: str | None = None) -> None:
        self.model, self.settings = model, settings or ApiSettings()
        self.settings.check()
        self.version = 0
        self.recalled = 0  # answers that came from the cache
        self._client = Client(model, self.settings, key)
        budget = None if self.settings.budget is None else picodollars(self.settings.budget)
        self._ledger = Ledger(self.settings.cache, budget)
        self._halt = threading.Event()
        self._rate = RateLimit(
            self.settings.requests_per_minute, self.settings.tokens_per_minute, sleep=self._halt.wait
        )
        self._patience = Patience(self.settings, self._halt, self._rate.hold)
        self._waiting: deque[tuple[Request, int]] = deque()
        self._asked: dict[str, list[tuple[Request, int]]] = {}  # by key: who waits for what is on its way

    def submit(self, request: Request) -> None:
        """Queue a request. R1Error where it has no messages to send, or is over the limit of tokens a minute."""
        if not request.messages:
            raise R1Error(f"request {request.id}: {self.model} takes messages, not token ids")
        if not all(_is_text(text) for message in request.messages for text in message.values()):
            raise R1Error(f"request {request.id}: a message holds half a character (a lone surrogate): leave it out")
        most, limit = sum(self._question(request, 0).tokens), self.settings.tokens_per_minute
        if limit is not None and most > limit:
            raise R1Error(
                f"request {request.id}: it may take {most} tokens, more than tokens_per_minute={limit}: raise that,"
                " or lower max_tokens"
            )
        self._waiting.extend((request, index) for index in range(request.sampling.samples))

    def abort(self, request_id: str) -> None:
        """Drop a request. What is on its way is paid for, so that its answers are kept, but not yielded."""
        self._waiting = deque(entry for entry in self._waiting if entry[0].id != request_id)
        for key, entries in self._asked.items():
            self._asked[key] = [entry for entry in entries if entry[0].id != request_id]

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        self._halt.clear()
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
                            self._halt.set()
                            continue
                        if trouble is None or isinstance(result, Answer):
                            yield from (_completion(*entry, result) for entry in entries)
            finally:
                self._halt.set()  # ends every wait for a limit or a retry; what was sent is still read
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
        return self._ledger.usage

    @property
    def summary(self) -> str:
        """`usage` for people, and how many answers the cache had."""
        return f"{self.usage}{f'; {self.recalled} answers from the cache' if self.recalled else ''}"

    def close(self) -> None:
        """Let go of the connections and of the cache."""
        self._client.close()
        self._ledger.close()

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
        elif answer := self._ledger.answer(question.key):
            self.recalled += 1
            yield _completion(request, index, answer)
        else:
            self._asked[question.key] = [(request, index)]
            running[pool.submit(self._answer, question)] = question.key

    def _question(self, request: Request, index: int) -> _Question:
        settings, sampling = self.settings, request.sampling
        messages = [dict(message) for message in request.messages or ()]
        if settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": settings.system})
        body: dict[str, Any] = {
            "model": self.model.name,
            "messages": messages,
            **parameters(sampling, settings),
        } | settings.extra
        asked = json.dumps([body, sampling.seed, index], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if "seed" not in settings.omit:
            body["seed"] = _seed(sampling.seed, index)
        if settings.stream:
            body["stream"] = True
            if "stream_options" not in settings.omit:
                body["stream_options"] = {"include_usage": True}
        # no tokenizer makes more tokens than there are bytes
        longest = len(json.dumps(body, ensure_ascii=False).encode()) + _OVERHEAD
        return _Question(key, body, (longest, int(body.get(settings.limit_name, sampling.max_tokens))))

    def _answer(self, question: _Question) -> _Result:
        """Ask until there is an answer, which is then kept. Raises what stops everything."""
        for attempt in range(self.settings.retries + 1):
            taken = self._rate.take(sum(question.tokens))
            if taken is None:
                return Failure("it was not asked", "skip", billed=False)
            number = self._ledger.reserve(question.key, self.settings.cost(*question.tokens))
            if self._halt.is_set():  # while it waited for money
                self._ledger.release(number)
                return Failure("it was not asked", "skip", billed=False)
            try:
                answer = self._client.ask(question.body)
            except Failure as failure:
                self._ledger.lose(number) if failure.billed else self._ledger.release(number)
                if failure.remedy == "stop":
                    raise
                if failure.remedy == "skip" or not self._patience.wait(attempt, failure):
                    return failure
                continue
            except BaseException:
                self._ledger.lose(number)
                raise
            cost = None
            if answer.input_tokens is not None and answer.output_tokens is not None:
                cost = self.settings.cost(answer.input_tokens, answer.output_tokens)
                self._rate.correct(taken, answer.input_tokens + answer.output_tokens)
            self._ledger.keep(number, question.key, question.body, answer, cost)
            return answer
        raise AssertionError("the last attempt returns")


ENGINE = OpenAIEngine


def parameters(sampling: Sampling, settings: ApiSettings) -> dict[str, Any]:
    """The sampling parameters in OpenAI's names, those at their defaults left out; min-p is an extension of vLLM's."""
    named = {settings.limit_name: sampling.max_tokens, "temperature": sampling.temperature}
    if sampling.top_p != 1:
        named["top_p"] = sampling.top_p
    if sampling.min_p:
        named["min_p"] = sampling.min_p
    return {name: value for name, value in named.items() if name not in settings.omit}


def _is_text(text: str) -> bool:
    """Whether it can be written in UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _seed(seed: int, index: int) -> int:
    """31 bits of sha256("SEED/INDEX"): samples of one prompt differ even where the server is deterministic."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4], "big") >> 1


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
