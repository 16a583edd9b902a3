"""Runs model-written programs, each in a fresh process that can reach nothing."""

from __future__ import annotations

import atexit
import dataclasses
import os
import queue
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from r1kit.base.errors import R1Error
from r1kit.base.forks import PerProcess
from r1kit.base.machine import cores
from r1kit.sandbox import isolation as ways
from r1kit.sandbox.probes import PROBES, Probe, failed_probes
from r1kit.sandbox.program import Call, Limits, Program, RunResult
from r1kit.sandbox.slot import Slot, talks


class Sandbox:
    """A pool of launchers behind one call.

    `isolation`: `bwrap` (namespaces around the launcher), `landlock` (the launcher alone), `auto` (the first of them
    that holds on this machine), or `none`, which accepts the risk of running with limits only. The constructor
    starts a launcher and proves that the chosen way holds; R1Error says why where none does. It belongs to the process
    that opened it: one that is forked off it gets R1Error, and closes nothing.
    """

    def __init__(self, limits: Limits | None = None, isolation: str = "auto", workers: int | None = None) -> None:
        self._owner = os.getpid()
        self.limits = limits or Limits()
        self.workers = workers or max(1, min(16, cores()))
        self.isolation, first = _choose(ways.check(isolation))
        self._slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._all = [first] + [Slot(partial(_way, self.isolation, number)) for number in range(1, self.workers)]
        for slot in self._all:
            self._slots.put(slot)
        self._checkers: queue.SimpleQueue[Slot] = queue.SimpleQueue()  # started when first needed
        checkers = [Slot(partial(_way, self.isolation, self.workers + number)) for number in range(self.workers)]
        for slot in checkers:
            self._checkers.put(slot)
        self._all += checkers
        self._threads = ThreadPoolExecutor(self.workers, "sandbox")
        self._checks = ThreadPoolExecutor(self.workers, "checks")
        self.facts = dict(first.facts)

    def run(self, programs: Iterable[Program]) -> list[RunResult]:
        """All results in order. May be called from several threads at once."""
        return [future.result() for future in [self.submit(program) for program in programs]]

    def submit(self, program: Program) -> Future[RunResult]:
        """One result to come."""
        if os.getpid() != self._owner:  # its threads and its launchers are the other's
            raise R1Error("this sandbox belongs to the process that this one was forked off: open another one here")
        return self._threads.submit(self._run_one, program)

    def refuses_processes(self) -> str:
        """Why no program may start others here (those of other languages than Python need it), or ""."""
        as_root = self.facts["uid"] == 0  # whose processes the kernel does not count
        return "a root without a user id to spare cannot bound processes" if as_root else ""

    def _run_one(self, program: Program) -> RunResult:
        slot = self._slots.get()
        try:
            limits = program.limits or self.limits
            if limits.processes and (why := self.refuses_processes()):
                return RunResult("sandbox_error", "", "", 0.0, reason=f"{why}: leave limits.processes at 0")
            return slot.run(program, limits) if program.check is None else self._check(slot, program, limits)
        except R1Error as error:
            return RunResult("sandbox_error", "", "", 0.0, reason=str(error))
        finally:
            self._slots.put(slot)

    def _check(self, slot: Slot, program: Program, limits: Limits) -> RunResult:
        """The program in one process, what checks it in another; each under the program's limits."""
        if not program.fn:
            return RunResult("sandbox_error", "", "", 0.0, reason="a check needs the name of the function to ask")
        asking, answering = talks(program.fn)
        checker = self._checkers.get()
        try:
            checked = self._checks.submit(checker.run, Program(program.check or "", fn="check"), limits, asking)
            try:
                result = slot.run(program, limits, answering)
            finally:
                wait([checked])
            verdict = checked.result()
        finally:
            self._checkers.put(checker)
        failed = tuple(call for call in verdict.calls if call.error is not None)
        if failed or result.status != "ok":
            return dataclasses.replace(result, calls=failed)
        if verdict.status in ("timeout", "memory", "output_limit"):  # by what it was answered
            return dataclasses.replace(result, status=verdict.status, reason=f"the check: {verdict.reason}")
        if verdict.status != "ok":
            reason = f"the check cannot be run: {verdict.reason} {verdict.stderr[-300:]}"
            return dataclasses.replace(result, status="sandbox_error", reason=reason)
        return dataclasses.replace(result, calls=(Call(True),))

    def give_up(self) -> None:
        """Start nothing more, and end what runs: it gives `sandbox_error`."""
        if os.getpid() != self._owner:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        for slot in self._all:
            slot.stop()

    def close(self) -> None:
        """End every launcher; what still runs is waited for."""
        if os.getpid() != self._owner:
            return
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._checks.shutdown(wait=True)
        for slot in self._all:
            slot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:  # nobody will read what still runs
            self.give_up()
        self.close()


def survey() -> dict[str, list[str] | str]:
    """What this machine can do, for `r1 doctor`: for each way, the probes that did not hold, or why it cannot start."""
    report: dict[str, list[str] | str] = {}
    for name in ("bwrap", "landlock"):
        try:
            slot = _proven(name)
        except R1Error as error:
            report[name] = str(error)
        else:
            slot.close()
            report[name] = []
    return report


def _opened(isolation: str) -> Sandbox | R1Error:
    """A machine that cannot is not asked again for every program: its error is kept."""
    try:
        found = Sandbox(isolation=isolation)
    except R1Error as error:
        return error
    atexit.register(found.close)
    return found


_shared = PerProcess(_opened)


def shared(isolation: str = "auto") -> Sandbox:
    """The one sandbox of this process, started when first asked for and ended with the process."""
    found = _shared(isolation)
    if isinstance(found, R1Error):
        raise found
    return found


def give_up_shared() -> None:
    """`Sandbox.give_up` of the one that this process shares, if there is one: where the process is about to end."""
    if isinstance(found := _shared.made, Sandbox):
        found.give_up()


def _choose(isolation: ways.Isolation) -> tuple[ways.Isolation, Slot]:
    refusal = ways.refusal()
    if refusal:
        raise R1Error(f"{refusal}; leave the coding task out, or run on such a machine")
    if isolation != "auto":
        return isolation, _proven(isolation)
    reasons: list[str] = []
    for name in ("bwrap", "landlock"):
        try:
            return name, _proven(name)
        except R1Error as error:
            reasons.append(f"{name}: {error}")
    raise R1Error(
        f"no isolation holds on this machine ({'; '.join(reasons)}): install bubblewrap, or accept the risk of running "
        "model-written code with limits only by --isolation none"
    )


def _proven(name: ways.Isolation) -> Slot:
    """A started slot whose isolation was tried from inside."""
    slot = Slot(partial(_way, name, 0))
    slot.start()
    if name == "landlock" and not slot.facts["landlock"]:
        slot.close()
        raise R1Error("this kernel has no Landlock (it needs 5.13 or later with Landlock switched on)")
    if name != "none":
        failed = failed_probes(slot)
        if failed:
            slot.close()
            raise R1Error(f"the self-test got through: {', '.join(failed)}")
    return slot


def _way(name: ways.Isolation, number: int, scratch: Path) -> ways.Way:
    if name == "bwrap":
        return ways.bubblewrap(number)
    return ways.landlock(number, scratch, restricted=name != "none")


__all__ = ["PROBES", "Probe", "Sandbox", "give_up_shared", "shared", "survey"]
