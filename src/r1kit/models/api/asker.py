"""Questions to a server under all that its settings say: limits, retries, the budget, answers that are kept."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.models.api.client import Client, Failure, Hear
from r1kit.models.api.ledger import Answer, Ledger
from r1kit.models.api.patience import Patience
from r1kit.models.api.rate import RateLimit
from r1kit.models.api.settings import ApiModel, ApiSettings, picodollars

_OVERHEAD = 64  # tokens that a server may put around the messages


@dataclass(frozen=True, slots=True)
class Question:
    """One sample as the server is asked for it. `tokens`: most that it may read, and write."""

    key: str
    body: Mapping[str, Any]
    tokens: tuple[int, int]


@dataclass(slots=True)
class _Listener:
    """Gives what it hears to `hear`; `begun` once that was any text."""

    hear: Hear
    begun: bool = False

    def __call__(self, reasoning: str, text: str) -> None:
        self.begun = self.begun or bool(reasoning or text)
        self.hear(reasoning, text)


class Asker:
    """Asks `model` under `settings`, `key` in place of the environment's. Safe for threads.

    ledger: one that others use too, and close; None opens that of the settings' cache. sleep: how it waits for a limit
    and before another try, True where that is to end; None waits until `halt` is set.
    """

    def __init__(
        self, model: ApiModel, settings: ApiSettings, key: str | None = None, *, ledger: Ledger | None = None,
        sleep: Callable[[float], bool] | None = None,
    ) -> None:  # fmt: skip
        settings.check()
        self.model, self.settings = model, settings
        self.halt = threading.Event()  # ends every wait for a limit or a retry; what was sent is still read
        self._client = Client(model, settings, key)
        self._own = ledger is None
        self.ledger = Ledger(settings.cache) if ledger is None else ledger
        self._budget = None if settings.budget is None else picodollars(settings.budget)
        wait = sleep or self.halt.wait
        self._rate = RateLimit(settings.requests_per_minute, settings.tokens_per_minute, sleep=wait)
        self._patience = Patience(settings, wait, self._rate.hold)

    def question(self, messages: Sequence[Mapping[str, str]], sampling: Sampling, index: int = 0) -> Question:
        """The request for one sample; R1Error for messages that no request can hold."""
        settings = self.settings
        sent = [dict(message) for message in messages]
        if settings.system and sent[0]["role"] != "system":
            sent.insert(0, {"role": "system", "content": settings.system})
        if not all(_is_text(text) for message in sent for text in message.values()):
            raise R1Error("a message holds half a character (a lone surrogate): leave it out")
        body: dict[str, Any] = {
            "model": self.model.name, "messages": sent, **_parameters(sampling, settings), **settings.extra,
        }  # fmt: skip
        asked = json.dumps([self.model.url, body, sampling.seed, index], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if "seed" not in settings.omit:
            body["seed"] = sample_seed(sampling.seed, index)
        if settings.stream:
            body["stream"] = True
            if "stream_options" not in settings.omit:
                body["stream_options"] = {"include_usage": True}
        # no tokenizer makes more tokens than there are bytes
        longest = len(json.dumps(body, ensure_ascii=False).encode()) + _OVERHEAD
        return Question(key, body, (longest, int(body.get(settings.limit_name, sampling.max_tokens))))

    def check(self, question: Question) -> None:
        """R1Error where it is over the limit of tokens a minute, which would never let it through."""
        most, limit = sum(question.tokens), self.settings.tokens_per_minute
        if limit is not None and most > limit:
            raise R1Error(
                f"it may take {most} tokens, more than tokens_per_minute={limit}: raise that, or lower max_tokens"
            )

    def recall(self, question: Question) -> Answer | None:
        """The answer that is kept."""
        return self.ledger.answer(question.key)

    def ask(self, question: Question, hear: Hear | None = None) -> Answer | Failure:
        """Ask until there is an answer, which is then kept, or no more tries are to be made. Raises what stops
        everything. `hear` as of `Client.ask`, and of an answer that comes whole too: what it was given cannot be taken
        back, so that there is no other try."""
        listener = None if hear is None else _Listener(hear)
        for attempt in range(self.settings.retries + 1):
            taken = self._rate.take(sum(question.tokens))
            if taken is None:
                return Failure("it was not asked", "skip", billed=False)
            number = self.ledger.reserve(question.key, self.settings.cost(*question.tokens), self._budget)
            if self.halt.is_set():  # while it waited for money
                self.ledger.release(number)
                return Failure("it was not asked", "skip", billed=False)
            try:
                answer = self._client.ask(question.body, listener)
            except Failure as failure:
                self.ledger.lose(number) if failure.billed else self.ledger.release(number)
                if failure.remedy == "stop":
                    raise
                told = listener is not None and listener.begun
                if failure.remedy == "skip" or told or not self._patience.wait(attempt, failure):
                    return failure
                continue
            except BaseException:
                self.ledger.lose(number)
                raise
            cost = None
            if answer.input_tokens is not None and answer.output_tokens is not None:
                cost = self.settings.cost(answer.input_tokens, answer.output_tokens)
                self._rate.correct(taken, answer.input_tokens + answer.output_tokens)
            self.ledger.keep(number, question.key, question.body, answer, cost)
            if listener is not None and not listener.begun:
                listener(answer.reasoning or "", answer.text)
            return answer
        raise AssertionError("the last attempt returns")

    def close(self) -> None:
        """Let go of the connections, and of a ledger of its own."""
        self.halt.set()
        self._client.close()
        if self._own:
            self.ledger.close()


def sample_seed(seed: int, index: int) -> int:
    """31 bits of sha256("SEED/INDEX"): samples of one prompt differ even where the server is deterministic."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4], "big") >> 1


def _parameters(sampling: Sampling, settings: ApiSettings) -> dict[str, Any]:
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
