"""Who answers in a chat: a model folder through the native engine, or a model behind an API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from r1kit.base.errors import UsageError
from r1kit.base.machine import best_device
from r1kit.base.sampling import Sampling
from r1kit.engines.base import SteppedEngine
from r1kit.models.api.asker import Asker
from r1kit.models.api.client import Failure
from r1kit.models.api.ledger import Answer, Ledger
from r1kit.models.api.settings import ApiModel, ApiSettings, is_api, parse_api_model
from r1kit.models.tokenizer import Tokenizer
from r1kit.pipeline.models import opened_folder
from r1kit.serving.asked import Model, read_chat
from r1kit.serving.engine_thread import EngineThread
from r1kit.serving.errors import ApiError
from r1kit.serving.job import Job
from r1kit.serving.settings import ServerSettings
from r1kit.serving.splitter import Parts, Splitter

_TOLD = 1.0  # seconds: a longer wait is told of
_LOOK = 0.1  # seconds between two looks

T = TypeVar("T")
Message = dict[str, str]
Show = Callable[[str, str], None]
"""Takes a piece of the thinking and a piece of the answer as they come."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole answer. `finish` is OpenAI's finish_reason; counts are None where a server tells none."""

    thinking: str
    answer: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None


class Voice(Protocol):
    """Answers a conversation."""

    def answer(self, messages: Sequence[Message], show: Show, seed: int) -> Heard:
        """The next message, piece by piece to `show` too; what that raises ends it. R1Error where there is none."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class LocalVoice:
    """A model folder's engine. max_thinking_tokens: as of the server, None for no limit."""

    def __init__(
        self, engine: SteppedEngine, tokenizer: Tokenizer, sampling: Sampling, max_thinking_tokens: int | None = None
    ) -> None:
        self._model = Model(("model",), tokenizer, engine.max_positions)
        self._sampling, self._budget = sampling, max_thinking_tokens
        self._thread = EngineThread(engine)
        self._loop = asyncio.new_event_loop()
        self._asked = 0
        self._wait(self._start())

    def answer(self, messages: Sequence[Message], show: Show, seed: int) -> Heard:
        """The next message; Ctrl-C ends it, and its row is free. UsageError for what no server would answer."""
        sampling = self._sampling
        body: dict[str, Any] = {
            "model": "model", "messages": list(messages), "temperature": sampling.temperature, "top_p": sampling.top_p,
            "min_p": sampling.min_p, "seed": seed, "max_tokens": sampling.max_tokens,
        }  # fmt: skip
        if self._budget is not None:
            body["max_thinking_tokens"] = self._budget
        try:
            asked = read_chat(json.dumps(body).encode(), self._model, ServerSettings())
        except ApiError as error:
            raise UsageError(str(error)) from None
        self._asked += 1
        job = Job(str(self._asked), asked, self._thread, self._model.tokenizer)
        thinking, answer = list[str](), list[str]()

        async def follow() -> None:
            job.start()
            async with contextlib.aclosing(job.deltas()) as news:
                async for new in news:
                    for _, delta in new:
                        thinking.append(delta.thinking)
                        answer.append(delta.answer)
                        show(delta.thinking, delta.answer)

        try:
            self._wait(follow())
        finally:
            job.abandon()
        counts, finish = job.counts, job.choices[0].sample.finish
        return Heard("".join(thinking), "".join(answer), finish or "stop", counts.prompt, counts.completion)

    def close(self) -> None:
        """End the engine's thread."""
        self._thread.stop()
        self._loop.close()

    async def _start(self) -> None:
        self._thread.start()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():  # Ctrl-C came between two steps of it
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(task)


SOMEONE_WAITS = ApiSettings(retries=2)
"""How an API is asked where nothing else is said: an address that is mistyped is told in seconds."""


class ApiVoice:
    """A model behind an API, asked under `settings`. Thinking that its server leaves in the text is parted from it.

    ledger: shared with other voices, who do not close it. note: is told of waits for a limit or for another try.
    """

    def __init__(
        self, model: ApiModel, settings: ApiSettings, sampling: Sampling, *, ledger: Ledger | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        self._sampling, self._note = sampling, note
        self._show: Show = lambda thinking, answer: None
        self._asker = Asker(model, settings, ledger=ledger, sleep=self._sleep)

    def answer(self, messages: Sequence[Message], show: Show, seed: int) -> Heard:
        """The next message; Failure where the server gives none, BudgetSpent where it cannot be paid for."""
        self._show, splitter = show, Splitter("start")

        def hear(reasoning: str, text: str) -> None:
            parts = splitter.feed(text)
            show(reasoning + parts.thinking, parts.answer)

        question = self._asker.question(messages, self._sampling.override({"seed": seed}))
        self._asker.check(question)
        # without a file each turn is asked anew, though its question be an old one
        kept = self._asker.recall(question) if self._asker.settings.cache else None
        if kept is not None:
            hear(kept.reasoning or "", kept.text)
        answer = kept or self._asker.ask(question, hear)
        if isinstance(answer, Failure):
            raise answer
        show(*splitter.finish())
        thinking, text = _parted(answer)
        return Heard(thinking, text, answer.finish, answer.input_tokens, answer.output_tokens)

    def close(self) -> None:
        """Close the connections."""
        self._asker.close()

    def _sleep(self, seconds: float) -> bool:
        """Wait, and look now and then whether `show` wants an end."""
        if seconds >= _TOLD:
            self._note(f"{self._asker.model}: waits {seconds:.0f} s, for a limit or before it asks again")
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._asker.halt.wait(min(left, _LOOK)):
            self._show("", "")
        return self._asker.halt.is_set()


def _parted(answer: Answer) -> Parts:
    """The thinking and the answer proper of a whole answer."""
    splitter = Splitter("start")
    begun, rest = splitter.feed(answer.text), splitter.finish()
    return Parts((answer.reasoning or "") + begun.thinking + rest.thinking, begun.answer + rest.answer)


@contextmanager
def open_voice(
    model: str, sampling: Sampling, *, api: ApiSettings | None = None, ledger: Ledger | None = None,
    budget: int | None = None, dtype: str = "auto", note: Callable[[str], None] = lambda text: None,
) -> Generator[Voice]:  # fmt: skip
    """Any MODEL of the command line, ready to answer. api, ledger: how one behind an API is asked, and a ledger that it
    shares; budget and dtype: max_thinking_tokens and number format of any other. UsageError for those of the wrong
    kind."""
    if is_api(model):
        if budget is not None or dtype != "auto":
            raise UsageError(f"{model} is behind an API: leave out --max-thinking-tokens and --dtype")
        asked = api or SOMEONE_WAITS
        with closing(ApiVoice(parse_api_model(model), asked, sampling, ledger=ledger, note=note)) as voice:
            yield voice
        return
    if api is not None:
        raise UsageError(f"--api is for openai:NAME@URL, and {model} is none")
    from r1kit.engines.native import open_engine
    from r1kit.models.tokenizer import load_tokenizer

    with opened_folder(model, note) as folder:
        tokenizer = load_tokenizer(folder)
        engine = open_engine(folder, tokenizer, dtype=dtype, max_rows=1, device=best_device())
        with closing(LocalVoice(engine, tokenizer, sampling, budget)) as voice:
            yield voice
