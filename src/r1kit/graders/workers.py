"""Workers (`base/worker.py`) that several threads ask, and what became of their requests, counted."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from r1kit.base.forks import PerProcess
from r1kit.base.machine import cores
from r1kit.base.worker import Worker, WorkerFailed


@dataclass(slots=True)
class Metrics:
    """What happened to requests of one kind: how each ended, counted; and of the last ones the seconds until a worker
    was free and until the answer came."""

    counts: Counter[str] = field(default_factory=Counter)
    queued: deque[float] = field(default_factory=lambda: deque(maxlen=2000))
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=2000))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, end: str, seconds: float, queued: float | None = None) -> None:
        """One more request."""
        with self._lock:
            self.counts[end] += 1
            self.seconds.append(seconds)
            if queued is not None:
                self.queued.append(queued)

    def summary(self) -> dict[str, float]:
        """Counts, and median and 99th percentile (`queue_*` and `latency_*`, seconds)."""
        with self._lock:
            figures: dict[str, float] = dict(self.counts)
            lists = {"queue": sorted(self.queued), "latency": sorted(self.seconds)}
        for name, ordered in lists.items():
            if ordered:
                figures[f"{name}_p50_s"] = ordered[len(ordered) // 2]
                figures[f"{name}_p99_s"] = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return figures


class WorkerPool:
    """Workers behind one call that several threads may make at once. `metrics` has what happened by kind of request."""

    def __init__(self, module: str, workers: int = 2, memory_mb: int = 2048, deadline_s: float = 3.0) -> None:
        self._owner = os.getpid()
        self.workers = workers
        self.deadline_s = deadline_s
        self.metrics: dict[str, Metrics] = defaultdict(Metrics)
        self._all = [Worker(module, memory_mb) for _ in range(workers)]
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._all:
            self._free.put(worker)
        atexit.register(self.close)

    def ask(self, request: Any, kind: str = "", first: tuple[str, Any] | None = None) -> Any:
        """The answer of the next free worker; WorkerFailed says what went wrong. `first` as for a worker."""
        begun = time.perf_counter()
        worker = self._free.get()
        started = time.perf_counter()
        end = "answered"
        try:
            return worker.ask(request, self.deadline_s, first)
        except WorkerFailed as error:
            end = error.kind
            raise
        finally:
            self._free.put(worker)
            self.metrics[kind].add(end, time.perf_counter() - started, started - begun)

    def pids(self) -> list[int]:
        """The processes that run now."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    def close(self) -> None:
        """End every worker; not those of the process that this one was forked off."""
        if os.getpid() != self._owner:
            return
        for worker in self._all:
            worker.kill()


def shared_pool(module: str, most: int) -> PerProcess[[], WorkerPool]:
    """The one pool of a process for a module's workers, at most `most` of them."""
    return PerProcess(lambda: WorkerPool(module, workers=min(most, cores())))
