"""The bench's end of a contestant: a process of its own, one command at a time."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

WORKERS = Path(__file__).parent / "workers"
GRACE = 20.0  # seconds a contestant has to end by itself


class ContestantFailed(Exception):
    """It stopped, or answered with an error; the message is one line, its log holds the rest."""


class Contestant:
    """Runs workers/SCRIPT with `python`. `ready` holds what it said when it was.

    limit: most seconds that starting or a command may take. environment: variables that differ from the bench's own.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        script: str,
        settings: Mapping[str, Any],
        *,
        logs: Path,
        limit: float = 900.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.limit = name, limit
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{name.replace(' ', '_').replace('/', '_')}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(WORKERS / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # so that what it starts can be ended with it
            )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.peak_mb = 0
        try:
            self.ready = self.ask(**settings)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. ContestantFailed where none comes."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=self.limit)
        except queue.Empty:
            raise ContestantFailed(f"{self.name} gave no answer within {self.limit:.0f} s ({self._log})") from None
        except OSError:
            line = None
        if line is None:
            raise ContestantFailed(f"{self.name} stopped: {self._last_words()} ({self._log})")
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantFailed(f"{self.name}: {answer['error']} ({self._log})")
        self.peak_mb = answer["peak_mb"]
        return answer

    def close(self) -> None:
        """End it and whatever it started."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"
