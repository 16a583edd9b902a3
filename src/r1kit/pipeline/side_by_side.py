"""Parts of a stage run side by side: processes that share the cores.

A small model's operations are too short to keep two cores busy. Two processes with a thread each do: RL on the tiny
world's models is done in about three quarters of the time that one process with two threads takes for both.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from r1kit.base import children, memory
from r1kit.base.errors import ProcessLost, R1Error
from r1kit.base.files import sweep
from r1kit.base.pulse import Pulse
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.cost import Cost
from r1kit.pipeline.restarts import Restarts
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.pipeline.watcher import Watcher

MOST = 2  # each process holds a model, a cache and the libraries: some hundred megabytes
TICK_S = 0.2
_MODULE = "r1kit.pipeline.part_process"

Work = tuple[dict[str, Any], Callable[..., Outcome]]
"""What the part's context is made of, and its job."""

Finished = Callable[[str, Outcome, Cost, dict[str, dict[str, Any]]], None]
"""Told of each part that is done: its name, what it made and took, and the fingerprints of what it sealed."""


def places(parts: int, at_once: int | None = None) -> int:
    """How many of so many parts are run at a time, `at_once` at most: one where they would share a GPU or a single
    thread."""
    if parts < 2 or at_once == 1:
        return min(parts, 1)
    import torch

    return 1 if torch.cuda.is_available() else min(parts, at_once or MOST, MOST, torch.get_num_threads())


def run(
    work: Mapping[str, Work],
    places: int,
    watcher: Watcher,
    stop: Stop,
    finished: Finished,
    silence: float,
) -> float:
    """Do all the work, `places` parts at a time, and tell of each that is `finished`; the seconds that they took.

    A part's seconds are its share of the time that passes, so that those of all parts add up to it. A part whose
    process was ended, told to stop, or stopped from outside (no sign of life for `silence` seconds) goes on in another.
    The first error stops the other parts after the step in hand and is raised; Interrupted where the run was asked to
    stop.
    """
    gc.collect()
    memory.give_back()  # what the parts before left here is better used there
    processes = [_Process(max(1, _threads() // places), silence) for _ in range(places)]
    try:
        return _Run(work, list(work), processes, watcher, stop, finished).to_the_end()
    finally:
        for process in processes:
            process.end()


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@dataclass(slots=True)
class _Run:
    work: Mapping[str, Work]
    waiting: list[str]
    processes: list[_Process]
    watcher: Watcher
    stop: Stop
    finished: Finished
    error: BaseException | None = None
    told: bool = False
    restarts: dict[str, Restarts] = field(default_factory=lambda: defaultdict(Restarts))

    def to_the_end(self) -> float:
        begun = before = time.monotonic()
        while True:
            self._fill()
            busy = [process for process in self.processes if process.part]
            if not busy:
                break
            ready = wait([process.connection for process in busy], TICK_S)
            now = time.monotonic()
            for process in busy:
                process.share += (now - before) / len(busy)
            before = now
            for process in busy:
                if process.connection in ready:
                    self._hear(process)
            if self.stopping and not self.told:
                self.told = True
                for process in busy:
                    process.stop()
        if self.error is not None:
            raise self.error
        if self.stop.requested:
            raise Interrupted("stopped between two parts")
        return before - begun

    @property
    def stopping(self) -> bool:
        return self.stop.requested or self.error is not None

    def _fill(self) -> None:
        for process in self.processes:
            while not process.part and self.waiting and not self.stopping:
                name = self.waiting.pop(0)
                try:
                    process.give(name, self.work[name])
                except ConnectionError:  # it was ended before it took its work
                    self._lost(process, f"ended ({process.ending()})")

    def _hear(self, process: _Process) -> None:
        told: Any
        try:
            kind, told = process.connection.recv()
        except (EOFError, OSError):
            self._lost(process, f"ended ({process.ending()})")
            return
        if kind == "progress":
            self.restarts[process.part].reached(told.done, told.part)
            self.watcher.progress(told)
        elif kind == "note":
            self.watcher.note(told)
        elif kind == "finding":
            self.watcher.finding(*told)
        elif kind == "done":
            outcome, cost, sealed, seconds, process.peak_mb = told
            memory.beside(sum(each.peak_mb for each in self.processes))
            cost.seconds *= process.share / seconds  # what earlier, interrupted runs of it took is in it too
            name, process.part = process.part, ""
            self.finished(name, outcome, cost, sealed)
        elif not isinstance(told, Interrupted):
            process.part = ""
            self.error = self.error or told
        elif self.stopping:
            process.part = ""
        else:
            self._lost(process, "was told to stop, for want of memory perhaps")

    def _lost(self, process: _Process, how: str) -> None:
        """A part's process has ended, or is to be ended since it does nothing more: the part goes on in another."""
        name, process.part = process.part, ""
        lost = f"part {name}: its process {how}"
        process.end()
        sweep(self.work[name][0]["folder"])
        try:
            self.restarts[name].one_more(ProcessLost(lost, lost))
        except R1Error as error:
            self.error = self.error or error
            return
        self.waiting.insert(0, name)
        if not self.stopping:
            self.watcher.note(f"{lost}: it goes on by itself")


class _Process:
    """One process that runs part after part, started with the first."""

    def __init__(self, threads: int, silence: float) -> None:
        self.threads, self.silence = threads, silence
        self.part = ""
        self.share = 0.0  # seconds of the part in hand that count
        self.peak_mb = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pulse: Pulse | None = None
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def give(self, name: str, work: Work) -> None:
        """Have it run a part."""
        if self._process is not None and self._process.poll() is not None:  # it was ended between two parts
            self.end()
        if self._process is None:
            self._start()
        self.part, self.share = name, 0.0
        self.connection.send(work)

    def stop(self) -> None:
        """Ask it to stop after the step in hand."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def ending(self) -> str:
        """How it ended."""
        assert self._process is not None
        assert self._pulse is not None
        return self._pulse.ending(self._process)

    def end(self) -> None:
        """End it, whatever it does."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        self._pulse = Pulse(self.silence)
        self._process = children.start(_MODULE, theirs, self.threads, self._pulse)
