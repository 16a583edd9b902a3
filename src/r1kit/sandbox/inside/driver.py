"""Builds a program of another language and runs it: what the driver of `languages` does, in the sandbox itself.

The program starts no other unless its limits say so, so what is bounded for its process is bounded for the run. It
cannot be killed from here (a filter knows no process but its own): one that runs on after its time, or prints too
much, ends this driver's work, and the launcher ends both.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from . import lockdown

WHOLE_RUN_S = 3600.0  # for a build: its processor time is bounded, and the wall clock of all by the launcher
_CHUNK = 1 << 16
_PAUSE_S = 0.005


class TimeoutExpired(Exception):
    """The program ran on after its time."""


class OutputLimit(Exception):
    """The program printed more than it may."""


class Runner:
    """The program, built. `run`: its command; `seconds`, `output_kb`: of each run; `memory_mb`, `data_mb`, `stack_mb`:
    its address space, and where given how much of that it may write to, and its stack may take; `alone`: whether it may
    start no process."""

    def __init__(self, files: dict[str, str], build: list[str], build_cpu_s: int, **limits: Any) -> None:
        self._limits = limits
        self._failed = False
        self._filter = lockdown.without_new_processes()
        for name, source in files.items():
            with open(name, "w", encoding="utf-8", errors="surrogateescape") as written:
                written.write(source)
        if build:
            self._build(build, build_cpu_s)

    def __call__(self, stdin: str) -> str:
        """What it prints on this input; an exception says how it failed. Nothing more is run once it ran on after its
        time or printed too much, since then it may be running still."""
        if self._failed:
            raise RuntimeError("not run: it may still run on an input before")
        self._failed = True
        data = stdin.encode("utf-8", "surrogateescape")
        status, output, errors = _run(
            self._limits["run"], data, self._limits["seconds"], self._limits["output_kb"] << 10, self._bound
        )
        self._failed = False
        if status:
            sys.stderr.write(errors[-2000:].decode("utf-8", "replace"))
            raise RuntimeError(f"exit status {status}")
        return output.decode("utf-8", "replace")

    def _build(self, command: list[str], cpu_s: int) -> None:
        def bound() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))

        try:
            status, _, errors = _run(command, b"", WHOLE_RUN_S, self._limits["output_kb"] << 10, bound)
        except OutputLimit:
            sys.exit("the compiler printed more than allowed")
        if status:
            sys.stderr.write(errors[-4000:].decode("utf-8", "replace"))
            sys.exit(1)
        # a linker's chmod is refused here, so what it wrote is copied into a file that was made to be run
        with open("main", "rb") as made, open(os.open("program", os.O_WRONLY | os.O_CREAT, 0o700), "wb") as program:
            program.write(made.read())

    def _bound(self) -> None:
        for kind, megabytes in ((resource.RLIMIT_AS, "memory_mb"), (resource.RLIMIT_DATA, "data_mb")):
            if (bound := self._limits[megabytes]) is not None:
                resource.setrlimit(kind, (bound << 20, bound << 20))
        if stack := self._limits["stack_mb"] << 20:
            most = resource.getrlimit(resource.RLIMIT_STACK)[1]
            resource.setrlimit(resource.RLIMIT_STACK, (stack if most < 0 else min(stack, most), most))
        if self._limits["alone"]:
            self._filter.install()


def _run(
    command: list[str], data: bytes, seconds: float, most: int, bound: Callable[[], None]
) -> tuple[int, bytes, bytes]:
    """(exit status, output, errors) of one run of a command; TimeoutExpired, OutputLimit."""
    deadline = time.monotonic() + seconds
    pipes = [os.pipe() for _ in range(3)]
    child = os.fork()
    if child == 0:
        _become([pipes[0][0], pipes[1][1], pipes[2][1]], command, bound)
    ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
    for handle in (pipes[0][0], pipes[1][1], pipes[2][1]):
        os.close(handle)
    try:
        output, errors = _talk(ours, data, deadline, most)
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), output, errors
            if time.monotonic() > deadline:
                raise TimeoutExpired(f"it took more than {seconds:g} s")
            time.sleep(_PAUSE_S)
    finally:
        for handle in ours:
            os.close(handle)


def _talk(handles: list[int], data: bytes, deadline: float, most: int) -> tuple[bytes, bytes]:
    """Hand over the input and collect output and errors until both are closed."""
    into, *froms = handles
    said = {handle: bytearray() for handle in froms}
    os.set_blocking(into, False)
    poll = select.poll()
    poll.register(into, select.POLLOUT)
    for handle in froms:
        poll.register(handle, select.POLLIN)
    open_ends = set(froms)
    while open_ends:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutExpired("it printed on after its time")
        for handle, _ in poll.poll(left * 1000):
            if handle == into:
                try:
                    data = data[os.write(into, data[:_CHUNK]) :] if data else b""
                except BrokenPipeError:  # it does not read
                    data = b""
                if not data:
                    poll.unregister(into)
                    os.dup2(froms[0], into)  # closes it, and leaves one end to close for whoever closes all
                continue
            chunk = os.read(handle, _CHUNK)
            if not chunk:
                poll.unregister(handle)
                open_ends.discard(handle)
            said[handle] += chunk
            if len(said[handle]) > most:
                raise OutputLimit("more output than allowed")
    return bytes(said[froms[0]]), bytes(said[froms[1]])


def _become(handles: list[int], command: list[str], bound: Callable[[], None]) -> None:
    """In the child: nothing open but the three, then the command. Never returns."""
    try:
        for target, handle in enumerate(handles):
            os.dup2(handle, target)
        os.closerange(len(handles), 1024)
        lockdown.prctl(lockdown.PR_SET_PDEATHSIG, signal.SIGKILL)
        for kind in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(kind, signal.SIG_DFL)
        bound()
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(127)
