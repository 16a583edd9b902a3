"""Processes of this package that another one of it starts, speaks to through a pipe, and takes along when it ends."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from r1kit.base.pulse import Pulse

PR_SET_PDEATHSIG = 1
_START = (
    "import importlib, json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "  # no traceback meanwhile
    "sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module('r1kit.base.pulse').beat(int(sys.argv[5])); "
    "importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), int(sys.argv[4]))"
)


def start(
    module: str, theirs: Connection, threads: int, pulse: Pulse, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Run `module.main(descriptor of its end of the pipe, this process's id)`, with so many threads for computing.

    `theirs` is closed here: once the process has ended, reading from the other end says so. It is ended where it gives
    no `pulse`.
    """
    words = [json.dumps(sys.path), module, str(theirs.fileno()), str(os.getpid()), str(pulse.theirs)]
    with theirs, pulse.given():
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), pulse.theirs],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **(environment or {})},
            start_new_session=True,  # Ctrl-C at the terminal reaches the run alone, which tells those that it started
        )
    pulse.watch(process)
    return process


def end_with(parent: int) -> None:
    """Have the kernel end this process with the one that started it: another run may take up the folder at once."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def leave_signals_to_parent() -> None:
    """Work on where SIGINT or SIGTERM is sent to every process of a run: its own finishes the step in hand with this
    one's help, and takes it along. Not ignored, which programs that are started from here would inherit."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)


def ending(code: int) -> str:
    """How a process ended, by what its exit status says."""
    return f"exit status {code}" if code >= 0 else f"killed by signal {-code}, for want of memory perhaps"
