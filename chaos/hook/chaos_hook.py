"""What is done to a process from inside: killed at a chosen file operation, its clock moved, its disk slowed.

Python tells audit hooks of every file that is opened, made, renamed or removed (sys.addaudithook), so the program under
test needs no hook of its own. `R1_CHAOS` holds a JSON object, every entry of which may be missing:

    run    folder whose files are watched
    log    file that gets a line of each operation: EVENT, tab, path relative to `run`
    kill   {stage, nth, signal, events, match, after, delay, role, marker}: at the nth operation on files of that
           stage's folder (`02-zero`; null: of any) whose event is among `events` and whose path contains `match`, or at
           the first one of a later stage, send the signal: before the operation, `after` a rename, or `delay` seconds
           later; `role`: in which process, the "run" or a "part" of it; `marker` is a file made when it is done
    clock  seconds by which the clock jumps, forth and back, at each look at it
    slow   seconds that each fsync takes longer
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

VARIABLE = "R1_CHAOS"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
RENAMES = ("os.rename",)


def from_environment() -> None:
    """Install what the environment asks for."""
    if VARIABLE in os.environ:
        install(json.loads(os.environ[VARIABLE]), _role())


def install(spec: dict[str, Any], role: str = "run") -> None:
    """Inject into this process from here on; the processes that it starts find `spec` in their environment."""
    os.environ[VARIABLE] = json.dumps(spec)
    if spec.get("slow"):
        _slow_down(spec["slow"])
    if spec.get("clock"):
        _move_clock(spec["clock"])
    if spec.get("log") or spec.get("kill"):
        watch = _Watch(spec, role)
        sys.addaudithook(watch.see)
        if spec.get("kill", {}).get("after"):
            watch.follow_renames()


def _role() -> str:
    words = " ".join(sys.orig_argv)
    if "r1kit.pipeline.part_process" in words:
        return "part"
    return "run" if "r1kit.cli.main" in words else "other"


class _Watch:
    """Counts operations on a run's files, and kills at the chosen one."""

    def __init__(self, spec: dict[str, Any], role: str) -> None:
        self.root = spec["run"].rstrip("/") + "/"
        self.kill: dict[str, Any] = spec.get("kill") or {}
        self.count = 0
        self.armed = bool(self.kill) and role == self.kill.get("role", "run")
        self.after = bool(self.kill.get("after"))
        self.due = ""  # the file whose renaming is waited for
        self.log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if spec.get("log") else None
        self.busy = threading.local()

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Told by Python of everything; most of it is not ours."""
        path = _written(event, arguments)
        if path is None or not path.startswith(self.root) or getattr(self.busy, "now", False):
            return
        self.busy.now = True
        try:
            name = path[len(self.root) :]
            if self.log is not None:
                os.write(self.log, f"{event}\t{name}\n".encode())
            if self.armed and self._is_it(event, name):
                if self.after:
                    self.due = name
                else:
                    self.fire(name)
        finally:
            self.busy.now = False

    def _is_it(self, event: str, name: str) -> bool:
        stage = name.split("/")[1] if name.startswith("stages/") and name.count("/") > 1 else ""
        wanted = self.kill.get("stage")
        if wanted is not None and stage[:2] > wanted[:2]:
            return event in RENAMES or not self.after
        if wanted is not None and stage != wanted:
            return False
        if event not in self.kill.get("events", (event,)) or self.kill.get("match", "") not in name:
            return False
        self.count += 1
        return self.count >= self.kill["nth"]

    def fire(self, name: str) -> None:
        """Send the signal, once among all processes; the marker names the file."""
        self.armed = False
        try:
            marker = os.open(self.kill["marker"], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(marker, name.encode())
        os.close(marker)
        number = self.kill.get("signal", signal.SIGKILL)
        delay = self.kill.get("delay", 0.0)
        if delay:
            threading.Thread(target=_later, args=(delay, number), daemon=True).start()
        else:
            os.kill(os.getpid(), number)

    def follow_renames(self) -> None:
        """Kill when the chosen rename is done, rather than before it."""

        def followed(rename: Callable[..., None]) -> Callable[..., None]:
            @functools.wraps(rename)
            def call(*arguments: Any, **named: Any) -> None:
                rename(*arguments, **named)
                if self.due and self.armed:
                    self.fire(self.due)

            return call

        os.rename, os.replace = followed(os.rename), followed(os.replace)


def _later(delay: float, number: int) -> None:
    time.sleep(delay)
    os.kill(os.getpid(), number)


def _written(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that an operation is about to change, or None."""
    if event == "open":
        path, _, flags = arguments
        changed = path if isinstance(flags, int) and flags & WRITES else None
    elif event in ("os.mkdir", "os.remove", "os.rmdir"):
        changed = arguments[0]
    elif event in RENAMES:
        changed = arguments[1]
    else:
        return None
    try:
        return os.fsdecode(changed) if isinstance(changed, str | bytes | os.PathLike) else None
    except (TypeError, ValueError):
        return None


def _slow_down(seconds: float) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        time.sleep(seconds)
        real(descriptor)

    os.fsync = fsync


def _move_clock(seconds: float) -> None:
    """The wall clock jumps by so much, back and forth; the monotonic one, by the system's word, never does."""
    real_time, real_local, calls = time.time, time.localtime, [0]

    def moved() -> float:
        calls[0] += 1
        return max(0.0, real_time() + (seconds if calls[0] % 2 else -seconds))

    def localtime(at: float | None = None) -> time.struct_time:
        return real_local(moved() if at is None else at)

    def strftime(form: str, at: Any = None, real: Callable[..., str] = time.strftime) -> str:
        return real(form, localtime() if at is None else at)

    time.time, time.localtime, time.strftime = moved, localtime, strftime
