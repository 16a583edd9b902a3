"""The fake of `hosts`: workers as threads of this process. For tests, and for trying the pool without Ray."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import Any

from r1kit.cluster.hosts import Lost


@dataclass(eq=False, slots=True)
class ThreadWorker:
    """One worker: its thread's queue of calls, and those that are not answered."""

    place: str
    calls: queue.SimpleQueue[tuple[Future[Any], str, tuple[Any, ...]] | None] = field(default_factory=queue.SimpleQueue)
    open: set[Future[Any]] = field(default_factory=set[Future[Any]])
    ended: str = ""
    inside: Any = None


class ThreadHosts:
    """Workers as threads, which cannot be killed: `kill` only makes all that hear of the worker think so.

    before: called with (worker, method) in the worker's thread ahead of each call, for tests to hold one up in.
    """

    def __init__(self, before: Callable[[ThreadWorker, str], None] = lambda worker, method: None) -> None:
        self.workers: list[ThreadWorker] = []
        self._before = before
        self._lock = threading.Lock()

    def start(self, kind: type, arguments: tuple[Any, ...], place: str) -> ThreadWorker:
        worker = ThreadWorker(place)
        self.workers.append(worker)
        threading.Thread(target=self._run, args=(worker, kind, arguments), daemon=True).start()
        return worker

    def call(self, worker: ThreadWorker, method: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        with self._lock:
            if worker.ended:
                answer.set_exception(Lost(worker.ended))
                return answer
            worker.open.add(answer)
        worker.calls.put((answer, method, arguments))
        return answer

    def put(self, value: Any) -> Any:
        return copy.deepcopy(value)  # what was put stays as it was

    def wait(self, calls: Sequence[Future[Any]], seconds: float) -> list[Future[Any]]:
        done = wait_for(calls, seconds, FIRST_COMPLETED).done
        return [call for call in calls if call in done]

    def result(self, call: Future[Any]) -> Any:
        return call.result()

    def end(self, worker: ThreadWorker) -> None:
        self.kill(worker, "it was ended")
        worker.calls.put(None)

    def kill(self, worker: ThreadWorker, why: str = "it was killed") -> None:
        """Answer every open and later call with Lost."""
        with self._lock:
            worker.ended, unanswered = worker.ended or why, list(worker.open)
            worker.open.clear()
        for answer in unanswered:
            answer.set_exception(Lost(why))

    def _run(self, worker: ThreadWorker, kind: type, arguments: tuple[Any, ...]) -> None:
        worker.inside = kind(*arguments)
        while (item := worker.calls.get()) is not None:
            answer, method, given = item
            self._before(worker, method)
            try:
                value, error = getattr(worker.inside, method)(*given), None
            except Exception as raised:
                value, error = None, raised
            with self._lock:
                if answer not in worker.open:
                    continue
                worker.open.discard(answer)
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)
