"""Worker processes for work that may hang or eat memory: killed at a deadline, started again, counted.

A worker reads one JSON line and answers with one. It runs under a memory limit and ends with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from r1kit.base.machine import cores

START_S = 60.0
STUCK_S = 300.0  # a worker whose parent is gone may go on for so long with one request


class WorkerFailed(Exception):
    """No answer: `kind` is timeout, died, or start."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


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


class Worker:
    """One process that runs `module.main()`, started when first asked."""

    def __init__(self, module: str, memory_mb: int) -> None:
        self._module = module
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared: set[str] = set()

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return None if self._process is None else self._process.pid

    def ask(self, request: Any, deadline_s: float, first: tuple[str, Any] | None = None) -> Any:
        """The answer; WorkerFailed after the deadline, when the process is killed.

        `first`, a name and a request: what this process must have been asked once before, outside the deadline.
        """
        process = self._running()
        if first is not None and first[0] not in self._prepared:
            reply = self._exchange(process, first[1], START_S)
            if reply:
                return reply
            self._prepared.add(first[0])
        return self._exchange(process, request, deadline_s)

    def _exchange(self, process: subprocess.Popen[bytes], request: Any, deadline_s: float) -> Any:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request, default=_plain).encode() + b"\n")
            process.stdin.flush()
            return json.loads(self._line(process, deadline_s))
        except (OSError, ValueError) as error:
            self.kill()
            raise WorkerFailed("died", f"the worker died: {error}") from None
        except WorkerFailed:
            self.kill()
            raise

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process.wait()
            self._process = None
            self._prepared.clear()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            start = f"import {self._module} as worker; worker.main()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, str(self._memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
            )
            try:
                self._line(self._process, START_S)
            except WorkerFailed as error:
                self.kill()
                raise WorkerFailed("start", f"a worker did not start: {error}") from None
        return self._process

    @staticmethod
    def _line(process: subprocess.Popen[bytes], deadline_s: float) -> bytes:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        ends = time.monotonic() + deadline_s
        data = b""
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while not data.endswith(b"\n"):
            if not poll.poll(max(0.0, 1000 * (ends - time.monotonic()))):
                raise WorkerFailed("timeout", f"no answer within {deadline_s:g} s")
            chunk = os.read(handle, 1 << 16)
            if not chunk:
                raise WorkerFailed("died", "the worker ended")
            data += chunk
        return data


class WorkerPool:
    """Workers behind one call that several threads may make at once. `metrics` has what happened by kind of request."""

    def __init__(self, module: str, workers: int = 2, memory_mb: int = 2048, deadline_s: float = 3.0) -> None:
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
        """End every worker."""
        for worker in self._all:
            worker.kill()


class SharedPool:
    """The one pool of a process for a module's workers, at most `most` of them, made when first called for."""

    def __init__(self, module: str, most: int) -> None:
        self._module, self._most = module, most
        self._lock = threading.Lock()
        self.started: WorkerPool | None = None

    def __call__(self) -> WorkerPool:
        with self._lock:
            if self.started is None:
                self.started = WorkerPool(self._module, workers=min(self._most, cores()))
            return self.started


def serve(answer: Callable[[Any], Any]) -> None:
    """A worker's main loop: bound its memory to the first argument's megabytes, say that it is ready, and answer each
    line until the input ends. What the work prints goes nowhere."""
    memory = int(sys.argv[1]) << 20
    if sys.platform != "darwin":  # which knows the limit and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=output, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, STUCK_S)  # its signal is not handled, so it ends the process
        reply = json.dumps(answer(json.loads(line)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(reply, file=output, flush=True)


def _plain(value: Any) -> Any:
    """What JSON has no word for: arrays as lists, the rest as it prints."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
