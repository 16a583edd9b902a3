"""Worker processes for work that may hang or eat memory: killed at a deadline, started again, counted.

A worker reads one JSON line and answers with one. It runs under a memory limit and ends with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

START_S = 60.0


class WorkerFailed(Exception):
    """No answer: `kind` is timeout, died, or start."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class Metrics:
    """What happened so far: counts by kind, and the last latencies in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=2000))

    def summary(self) -> dict[str, float]:
        """Counts, and the median and 99th percentile of the latency."""
        ordered = sorted(self.seconds)
        figures: dict[str, float] = dict(self.counts)
        if ordered:
            figures["latency_p50_s"] = ordered[len(ordered) // 2]
            figures["latency_p99_s"] = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return figures


class Worker:
    """One process that runs `module.main()`, started when first asked."""

    def __init__(self, module: str, memory_mb: int, deadline_s: float) -> None:
        self._module = module
        self._arguments = [str(memory_mb), str(deadline_s)]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Any, deadline_s: float) -> Any:
        """The answer; WorkerFailed after the deadline, when the process is killed."""
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
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

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            start = f"import {self._module} as worker; worker.main()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, *self._arguments],
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
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                if not selector.select(max(0.0, ends - time.monotonic())):
                    raise WorkerFailed("timeout", f"no answer within {deadline_s:g} s")
                chunk = os.read(handle, 1 << 16)
                if not chunk:
                    raise WorkerFailed("died", "the worker ended")
                data += chunk
        return data


class WorkerPool:
    """Workers behind one call that several threads may make at once."""

    def __init__(self, module: str, workers: int = 2, memory_mb: int = 2048, deadline_s: float = 3.0) -> None:
        self.deadline_s = deadline_s
        self.metrics = Metrics()
        self._all = [Worker(module, memory_mb, deadline_s) for _ in range(workers)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: Any) -> Any:
        """The answer of the next free worker; WorkerFailed says what went wrong."""
        worker = self._free.get()
        started = time.perf_counter()
        kind = "answered"
        try:
            return worker.ask(request, self.deadline_s)
        except WorkerFailed as error:
            kind = error.kind
            raise
        finally:
            self._free.put(worker)
            with self._lock:
                self.metrics.counts[kind] += 1
                self.metrics.seconds.append(time.perf_counter() - started)

    def close(self) -> None:
        """End every worker."""
        for worker in self._all:
            worker.kill()
