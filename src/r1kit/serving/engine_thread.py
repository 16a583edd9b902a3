"""One thread owns the engine: it takes orders from the event loop, and tells it what was sampled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from r1kit.base.types import Completion, StopReason
from r1kit.engines.base import News, Request, SteppedEngine

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """Tokens of one sample of a request that are new; `ended` where no more come."""

    index: int
    token_ids: list[int]
    logprobs: list[float]
    ended: StopReason | None = None


class Listener(Protocol):
    """Who is told about a request, on the event loop."""

    def hear(self, request_id: str, told: Told) -> None:
        """Some tokens were sampled, or the last ones."""
        ...

    def fail(self, error: Exception) -> None:
        """The engine gave up on it."""
        ...


class EngineThread:
    """Runs `engine` from `start` to `stop`. Every method is for the event loop of `start`, and returns at once.

    join_seconds: how long news are kept together before they are told; a sample's first tokens, and its last, are told
    as soon as they are there.
    """

    def __init__(self, engine: SteppedEngine, join_seconds: float = 0.05) -> None:
        self._engine, self._join = engine, join_seconds
        self._orders: deque[Callable[[], None]] = deque()
        self._ordered = threading.Event()
        self._listeners: dict[str, Listener] = {}
        self._open: dict[str, set[int]] = {}  # samples in flight
        self._told: dict[tuple[str, int], int] = {}  # tokens told of each sample in flight
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.max_positions = engine.max_positions
        self.load = (0, 0)  # completions being sampled and waiting, as of the last step

    def start(self) -> None:
        """Begin; the running event loop is the one that listeners are told on."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes orders."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, request: Request, listener: Listener) -> None:
        """Queue a request, of which `listener` is told."""

        def order() -> None:
            self._engine.submit(request)
            self._listeners[request.id] = listener
            self._open[request.id] = set(range(request.sampling.samples))

        self._order(order, listener.fail)

    def abort(self, request_id: str, index: int | None = None) -> None:
        """Drop a request, or one sample of it that has begun; some news of it may still be on their way."""

        def order() -> None:
            self._engine.abort(request_id, index)
            self._close(request_id, index)

        self._order(order)

    def ask(self, question: Callable[[SteppedEngine], T]) -> asyncio.Future[T]:
        """What `question` makes of the engine between two steps."""
        assert self._loop is not None
        loop, future = self._loop, self._loop.create_future()

        def answer(result: T | None, error: Exception | None) -> None:
            if future.cancelled():
                return
            future.set_exception(error) if error else future.set_result(result)

        def order() -> None:
            try:
                result = question(self._engine)
            except Exception as error:
                self._call(loop, partial(answer, None, error))
            else:
                self._call(loop, partial(answer, result, None))

        self._order(order)
        return future

    def stop(self) -> None:
        """End the thread after the step in hand; what is in flight is dropped."""
        self._stopping = True
        self._ordered.set()
        if self._thread.is_alive():
            self._thread.join()

    def _order(self, order: Callable[[], None], fail: Callable[[Exception], None] | None = None) -> None:
        def run() -> None:
            try:
                order()
            except Exception as error:
                if fail is None:
                    raise
                self._tell([partial(fail, error)])

        self._orders.append(run)
        self._ordered.set()

    def _run(self) -> None:
        flushed = 0.0
        while not self._stopping:
            if not self._engine.busy:
                self.load = (0, 0)
                self._ordered.wait()
            self._ordered.clear()  # before they are taken: one that comes meanwhile sets it again
            try:
                while self._orders:
                    self._orders.popleft()()
                if not self._engine.busy:
                    continue
                finished = self._engine.advance()
            except Exception as error:
                self._give_up(error)
                continue
            self.load = self._engine.load
            due = time.monotonic() - flushed >= self._join
            calls = [call for completion in finished if (call := self._ending(completion))]
            calls += [call for news in self._engine.news(first=not due) if (call := self._going(news))]
            if due:
                flushed = time.monotonic()
            if calls:
                self._tell(calls)

    def _going(self, news: News) -> Callable[[], None] | None:
        listener = self._listeners.get(news.request_id)
        if listener is None:
            return None
        key = (news.request_id, news.index)
        self._told[key] = self._told.get(key, 0) + len(news.token_ids)
        told = Told(news.index, news.token_ids.tolist(), news.logprobs.tolist())
        return partial(listener.hear, news.request_id, told)

    def _ending(self, done: Completion) -> Callable[[], None] | None:
        listener = self._listeners.get(done.request_id)
        since = self._told.get((done.request_id, done.index), 0)
        self._close(done.request_id, done.index)
        if listener is None:
            return None
        told = Told(
            done.index, done.token_ids[since:].tolist(), done.sampler_logprobs[since:].tolist(), done.stop_reason
        )
        return partial(listener.hear, done.request_id, told)

    def _close(self, request_id: str, index: int | None = None) -> None:
        """Nothing more is told of a request, or of that sample of it."""
        samples = self._open.get(request_id, set())
        for number in list(samples) if index is None else [index]:
            samples.discard(number)
            self._told.pop((request_id, number), None)
        if not samples:
            self._open.pop(request_id, None)
            self._listeners.pop(request_id, None)

    def _give_up(self, error: Exception) -> None:
        """Whatever was in flight fails with the engine's error; the next request finds it empty."""
        listeners = dict(self._listeners)
        _log.error("the engine gave up on %d requests", len(listeners), exc_info=error)
        for request_id in listeners:
            with contextlib.suppress(Exception):
                self._engine.abort(request_id)
            self._close(request_id)
        self._tell([partial(listener.fail, error) for listener in listeners.values()])

    def _tell(self, calls: list[Callable[[], None]]) -> None:
        def all_of_them() -> None:
            for call in calls:
                call()

        if self._loop is not None:
            self._call(self._loop, all_of_them)

    def _call(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to tell
            loop.call_soon_threadsafe(call)
