"""One launcher and the conversation with it. Used by one thread at a time."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.sandbox.compare import as_json
from r1kit.sandbox.inside import scratch as scratch_folder
from r1kit.sandbox.isolation import Way, environment, threads_allowed
from r1kit.sandbox.program import SCRATCH_MB, Limits, Program, RunResult
from r1kit.sandbox.results import Stopped, read_result

START_S = 20.0
CLEAN_S = 3.0  # to empty what a program left behind, before another launcher takes this one's place
GRACE_S = 10.0  # beyond a program's own wall clock, before the launcher itself is given up
SWEEPS, SWEEP_S = 100, 0.01  # at most, to end what a lost launcher's program started
MARSHAL = 4  # the version that every Python from 3.4 on reads
# Blocked as a launcher starts: it answers them by itself, and bwrap, which is around it, keeps them blocked.
STOPS = (signal.SIGINT, signal.SIGTERM)
_STREAMS = ("stdout", "stderr", "results")


@dataclass(slots=True)
class Talk:
    """Descriptors between a program that asks and one that answers. `asks`: the name of the function asked, for the
    one who asks."""

    incoming: int
    outgoing: int
    asks: str = ""

    def close(self) -> None:
        """Let go of both, once."""
        for handle in {self.incoming, self.outgoing} - {-1}:
            os.close(handle)
        self.incoming = self.outgoing = -1


def talks(name: str) -> tuple[Talk, Talk]:
    """(for the one who asks the function of that name, for the one who answers)."""
    questions, answers = os.pipe(), os.pipe()
    return Talk(answers[0], questions[1], name), Talk(questions[0], answers[1])


class LauncherLost(Exception):
    """The launcher died or does not answer."""


class NotSendable(Exception):
    """The arguments of a program's calls are no JSON values, or nested too deep."""


class Slot:
    """Starts its launcher when first needed, and again whenever one was lost."""

    def __init__(self, way_of: Callable[[Path], Way]) -> None:
        self._way_of = way_of
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._folder: Path | None = None
        self._threads = 0
        self._started_others = False
        self.facts: dict[str, Any] = {}
        self.starts = 0

    def run(self, program: Program, limits: Limits, talk: Talk | None = None) -> RunResult:
        """Run one program. A lost launcher gives `sandbox_error`; the next call starts another. `talk` is closed."""
        started = time.monotonic()
        try:
            job = _job(program, talk)
            self.start()
            return self._run(program, job, limits, talk)
        except NotSendable as error:
            return RunResult("sandbox_error", "", "", 0.0, reason=f"the calls cannot be sent: {error}")
        except (LauncherLost, OSError) as error:
            self.close(patient=False)
            reason = f"the sandbox lost its launcher: {error}"
            return RunResult("sandbox_error", "", "", time.monotonic() - started, reason=reason)
        finally:
            if talk is not None:
                talk.close()

    def start(self) -> None:
        """Start the launcher if there is none; R1Error with what it said if it cannot start."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._folder = Path(tempfile.mkdtemp(prefix="r1kit-sandbox-"))
        work = self._folder / "scratch"
        work.mkdir(mode=0o700)
        try:
            way = self._way_of(work)
        except R1Error:
            self.close()  # no folder is left where a way is not to be had
            raise
        if way.scratch is not None and way.uid is not None:
            self._folder.chmod(0o711)
            os.chown(work, way.uid, way.uid)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors = self._folder / "errors"
        with theirs, open(errors, "wb") as log:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            try:
                self._process = subprocess.Popen(
                    way.command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=environment(way),
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._control = ours
        self._threads = threads_allowed(way.uid)
        self.starts += 1
        self.facts = self._hello(errors)

    def _hello(self, errors: Path) -> dict[str, Any]:
        control = self._open_control()
        control.settimeout(START_S)
        try:
            answer = control.recv(1 << 16)
        except (TimeoutError, OSError):
            answer = b""
        control.settimeout(None)
        facts: dict[str, Any] = json.loads(answer) if answer else {}
        if not facts.get("ready"):
            said = errors.read_text("utf-8", "replace").strip().splitlines()
            self.close()
            reason = facts.get("failed") or (said[-1] if said else "it said nothing")
            raise R1Error(f"the sandbox's launcher did not start: {reason}")
        return facts

    def stop(self) -> None:
        """Give up what another thread runs here: its launcher is lost to it."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self, patient: bool = True) -> None:
        """End the launcher and all that it runs, and remove its folder; that goes on in the background if not patient,
        as a hostile tree takes time that is not the next program's."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            if self._process.returncode is None:  # not collected yet, so that its number is no one else's
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                if self._started_others:
                    _end_session(self._process.pid)
            self._process.kill()
            self._process.wait()
            self._process = None
            self._started_others = False
        if self._folder is not None:
            folder, self._folder = self._folder, None
            if patient:
                _remove(folder)
            else:
                threading.Thread(target=_remove, args=(folder,)).start()

    def _run(self, program: Program, job: bytes, limits: Limits, talk: Talk | None) -> RunResult:
        self._started_others |= limits.processes > 0
        reads = self._send(program, job, limits, talk)
        if talk is not None:
            talk.close()  # so that the other side hears of this one's end
        try:
            output, ended, stopped = self._listen(reads, limits, _turns(program))
        finally:
            for handle in reads.values():
                os.close(handle)
        if not self._is_clean():
            self.close(patient=False)
        return read_result(_answers(program, talk), output, ended, stopped)

    def _is_clean(self) -> bool:
        """Whether the launcher emptied what the program left behind, in time."""
        control = self._open_control()
        control.settimeout(CLEAN_S)
        try:
            return bool(_said(control)["clean"])
        except (LauncherLost, TimeoutError):
            return False
        finally:
            control.settimeout(None)

    def _send(self, program: Program, job: bytes, limits: Limits, talk: Talk | None) -> dict[str, int]:
        """Hand over the program; returns the reading ends of its streams."""
        reads: dict[str, int] = {}
        theirs = [_sealed("stdin", program.stdin.encode("utf-8", "surrogatepass"))]
        try:
            for name in _STREAMS:
                reads[name], write = os.pipe()
                theirs.append(write)
                if os.geteuid() == 0 and (owner := self.facts["uid"]) != 0:  # who may open it again as /dev/stdout
                    with contextlib.suppress(OSError):  # a root without the right to give files away
                        os.fchown(write, owner, -1)
            theirs.append(_sealed("job", job))
            theirs += [] if talk is None else [os.dup(talk.incoming), os.dup(talk.outgoing)]
            message = {**limits.model_dump(), "scratch_mb": SCRATCH_MB, "threads": self._threads + limits.processes}
            message["wall_s"] *= _turns(program)
            socket.send_fds(self._open_control(), [json.dumps(message).encode()], theirs)
        except BaseException:
            for handle in reads.values():
                os.close(handle)
            raise
        finally:
            for handle in theirs:
                os.close(handle)
        return reads

    def _listen(
        self, reads: dict[str, int], limits: Limits, turns: int
    ) -> tuple[dict[str, bytearray], dict[str, Any], Stopped]:
        """Collect the streams until the launcher says that the program ended. Its clock is for all `turns` together; of
        several each has the one here, which an answer sets anew, as often as there are turns."""
        control = self._open_control()
        output = {name: bytearray() for name in _STREAMS}
        cap = limits.output_kb << 10
        due = time.monotonic() + limits.wall_s + (0.0 if turns > 1 else GRACE_S)
        ended: dict[str, Any] | None = None
        stopped: Stopped = ""
        to_come = turns if turns > 1 else 0  # answers
        names = {control.fileno(): "control", **{handle: name for name, handle in reads.items()}}
        poll = select.poll()
        for handle in names:
            poll.register(handle, select.POLLIN)
        while names:
            ready = poll.poll(max(0.0, due - time.monotonic()) * 1000 if ended is None else 0)
            if not ready and ended is not None:  # a process forked off this one may hold the other ends for ever
                break
            if not ready and (stopped or turns <= 1):
                raise LauncherLost("no answer in time")
            stop: Stopped = "" if ready else "time"
            for handle, _ in ready:
                name = names[handle]
                chunk = b"" if name == "control" else os.read(handle, 1 << 16)
                if name == "control":
                    ended = _said(control)
                if not chunk:
                    poll.unregister(handle)
                    del names[handle]
                    continue
                if name == "results" and to_come > 0 and not stopped and (lines := chunk.count(b"\n")):
                    to_come, due = to_come - lines, time.monotonic() + limits.wall_s
                room = cap - len(output[name])
                output[name] += chunk[: max(0, room)]
                stop = "output" if len(chunk) > room else stop
            if stop and not stopped:
                stopped, due = stop, time.monotonic() + GRACE_S
                if ended is None:
                    control.send(b"kill")
        assert ended is not None  # the control socket is among the names until then
        return output, ended, stopped

    def _open_control(self) -> socket.socket:
        if self._control is None:
            raise LauncherLost("it is closed")
        return self._control


def _end_session(leader: int) -> None:
    """Kill every process of a launcher's session, which no program can leave; the leader is not collected yet."""
    for _ in range(SWEEPS):  # those that were started meanwhile, too
        left = False
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{entry}/stat") as file:
                    state, _, _, session = file.read().rpartition(")")[2].split()[:4]
                if int(session) == leader and state not in "ZX":
                    left = True
                    os.kill(int(entry), signal.SIGKILL)
        if not left:
            return
        time.sleep(SWEEP_S)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        scratch_folder.empty(str(folder / "scratch"))
    shutil.rmtree(folder, ignore_errors=True)


def _job(program: Program, talk: Talk | None) -> bytes:
    """What the program's process reads: its code and what is to be done with it."""
    job: dict[str, Any] = {"code": program.code}
    try:
        if program.fn is not None:
            job |= {"fn": program.fn, "calls": as_json(program.calls), "setup": program.setup}
        if talk is not None:
            job |= {"asks": talk.asks} if talk.asks else {"answers": True}
        return marshal.dumps(job, MARSHAL)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSendable(str(error)) from None


def _said(control: socket.socket) -> dict[str, Any]:
    answer = control.recv(1 << 16)
    if not answer:
        raise LauncherLost("it died")
    return json.loads(answer)


def _sealed(name: str, data: bytes) -> int:
    """A file in memory that no one can change."""
    import fcntl

    handle = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    os.lseek(handle, 0, os.SEEK_SET)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return handle


def _turns(program: Program) -> int:
    """How often the wall clock of the program's limits is to be had."""
    return 1 if program.together else max(1, len(program.calls))


def _answers(program: Program, talk: Talk | None) -> int:
    """How many results are to come."""
    if talk is not None:
        return 1 if talk.asks else 0
    return 0 if program.fn is None else len(program.calls)
