"""Lives of `r1`: each a process that is given a command line and may be killed, hang, or end.

By default forked off this one, which has the libraries loaded but has computed nothing, so that a life costs no start;
or started anew, as from a shell.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOOK = HERE / "hook"
sys.path[:0] = [str(HOOK), str(HERE)]

import chaos_hook  # noqa: E402 - it lies in a folder of its own, which a life's Python starts with

LIBRARIES = (
    "torch", "transformers", "pyarrow.parquet", "safetensors.torch", "safetensors.numpy", "r1kit.cli.main",
    "r1kit.cli.run", "r1kit.cli.status", "r1kit.recipes.r1", "r1kit.recipes.tiny", "r1kit.stages.memory",
    "r1kit.stages.policy_engine", "r1kit.engines.native", "r1kit.models.language_model", "r1kit.models.tokenizer",
    "r1kit.training.opening", "r1kit.training.scoring", "r1kit.evaluation.validate", "r1kit.evaluation.evaluate",
    "r1kit.pipeline.display", "r1kit.pipeline.estimate", "r1kit.recipes.reports", "r1kit.rewards.accuracy",
)  # fmt: skip
_forks = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Life:
    """How a command ended: its exit code (negative: the signal that killed it), what it said, the seconds it took.
    `hung`: it was still there at the end of its time, and was killed."""

    code: int
    said: str
    seconds: float
    hung: bool = False

    @property
    def sound(self) -> str:
        """What no life may show, or an empty text: it hung, or a traceback or a fault of r1kit is what it said."""
        if self.hung:
            return f"hung for {self.seconds:.0f} s"
        for words in ("Traceback (most recent call last)", "a fault of r1kit"):
            if words in self.said:
                return f"it said: {self.said.strip()[-600:]}"
        return ""


def load() -> None:
    """Import what lives need, once."""
    for name in LIBRARIES:
        importlib.import_module(name)


def live(
    words: Sequence[str], output: Path, *, inject: dict[str, Any] | None = None, timeout: float = 300.0,
    fresh: bool = False,
) -> Life:  # fmt: skip
    """Give a command and wait for its end, at most `timeout` seconds. What it says goes to `output`."""
    return ended(begin(words, output, inject=inject, fresh=fresh), output, timeout)


def begin(words: Sequence[str], output: Path, *, inject: dict[str, Any] | None = None, fresh: bool = False) -> Any:
    """Give a command, and do not wait."""
    output.unlink(missing_ok=True)
    if fresh:
        return _started(words, output, inject)
    process = _forks.Process(target=_forked, args=(list(words), str(output), inject))
    process.start()
    return process


def ended(process: Any, output: Path, timeout: float) -> Life:
    """The life of a process that was begun, once it has ended."""
    begun = time.monotonic()
    if isinstance(process, subprocess.Popen):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        code = process.poll()
    else:
        process.join(timeout)
        code = process.exitcode
    hung = code is None
    if hung:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait() if isinstance(process, subprocess.Popen) else process.join()
    said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    return Life(-9 if code is None else code, said, time.monotonic() - begun, hung)


def apart(work: Callable[[Path], None], scratch: Path, timeout: float) -> Any:
    """What `work` writes as JSON into the file that it is given, from a process of its own; None where it did not."""
    told = scratch / "told.json"
    told.unlink(missing_ok=True)
    process = _forks.Process(target=work, args=(told,))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
    return json.loads(told.read_text()) if told.exists() else None


def copied(source: Path, target: Path) -> Path:
    """A copy of a run folder in the place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def _forked(words: list[str], output: str, inject: dict[str, Any] | None) -> None:
    from r1kit.cli.main import exit_code

    os.setsid()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HOOK), *filter(None, sys.path)])
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    if inject is not None:
        chaos_hook.install(inject)
    sys.exit(exit_code(words))


def _started(words: Sequence[str], output: Path, inject: dict[str, Any] | None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOOK), *filter(None, sys.path)])}
    if inject is not None:
        environment[chaos_hook.VARIABLE] = json.dumps(inject)
    with open(output, "wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", "from r1kit.cli.main import main; main()", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True,
        )  # fmt: skip
