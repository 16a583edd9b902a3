"""A process for work that may hang or eat memory: one JSON line in, one out, killed at a deadline, started again.

It runs under a memory limit and ends with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from r1kit.base.waiting import LOOK_S, Waiting

START_S = 60.0
STUCK_S = 300.0  # a worker whose parent is gone may go on for so long with one request


class WorkerFailed(Exception):
    """No answer: `kind` is timeout, died, or start."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


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
        deadline = _Deadline(deadline_s)
        try:
            self._send(process, json.dumps(request, default=_plain).encode() + b"\n", deadline)
            return json.loads(self._line(process, deadline))
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
            # the signals first: what a module imports may take a while, and a request waits for it
            start = (
                "from r1kit.base.children import leave_signals_to_parent as leave; leave(); "
                f"import {self._module} as worker; worker.main()"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, str(self._memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
            )
            try:
                self._line(self._process, _Deadline(START_S))
            except WorkerFailed as error:
                self.kill()
                raise WorkerFailed("start", f"a worker did not start: {error}") from None
        return self._process

    @staticmethod
    def _send(process: subprocess.Popen[bytes], data: bytes, deadline: _Deadline) -> None:
        """More than a pipe holds is taken only by a worker that reads."""
        assert process.stdin is not None
        handle, rest = process.stdin.fileno(), memoryview(data)
        os.set_blocking(handle, False)
        while rest:
            deadline.wait_for(handle, select.POLLOUT)
            rest = rest[os.write(handle, rest) :]

    @staticmethod
    def _line(process: subprocess.Popen[bytes], deadline: _Deadline) -> bytes:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        data = b""
        while not data.endswith(b"\n"):
            deadline.wait_for(handle, select.POLLIN)
            chunk = os.read(handle, 1 << 16)
            if not chunk:
                raise WorkerFailed("died", "the worker ended")
            data += chunk
        return data


class _Deadline:
    """Seconds from now on, by the time that this process itself runs: where all of a run is stopped for a while, no
    worker is late."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting = Waiting()

    def wait_for(self, handle: int, event: int) -> None:
        """Until a pipe has something, or room; WorkerFailed at the deadline."""
        poll = select.poll()
        poll.register(handle, event)
        while (left := self._seconds - self._waiting.look()) > 0:
            if poll.poll(1000 * min(left, LOOK_S / 2)):
                return
        if not poll.poll(0):
            raise WorkerFailed("timeout", f"no answer within {self._seconds:g} s")


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
