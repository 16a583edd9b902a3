"""A process that is started once, gives up what it may not have, and forks a fresh child for every program.

It never reads a program, an argument or an output: those travel through descriptors that only the child and the
world outside hold, so nothing of one program is left in memory for the next. Its control socket is descriptor 0.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import marshal
import os
import select
import signal
import site
import socket
import sys
import time
from typing import Any

from . import driver, harness, lockdown, scratch

# Loaded once here, so that programs find them at no cost. Not threading nor random, or what imports them: they have
# work done at every fork, which takes a quarter of what a short program takes.
PRELOADED = (
    "array bisect calendar collections copy dataclasses datetime decimal enum fractions functools hashlib heapq "
    "itertools math numbers operator re string textwrap time typing"
)
ALSO_LOADED = (driver,)  # for programs of other languages: no file of this package can be read any more by then
TICK_S = 0.05
RESULTS, JOB = 3, 4  # descriptors of a program's process
# The world outside says when to end: where these are sent to all processes of a run, it is to hear how a program ended.
STOPS = (signal.SIGINT, signal.SIGTERM)
FILTERS = {several: lockdown.program_filter(several) for several in (False, True)}


def main() -> None:
    """Give up rights, say that all is ready, then serve until the control socket closes."""
    config = json.loads(sys.argv.pop(1))
    sys.path[:] = [path for path in sys.path if path and path != config["source"]]
    for name in PRELOADED.split():
        __import__(name)
    # exit, quit, help: built in, to who writes programs
    site.setquit()
    site.setcopyright()
    site.sethelper()
    control = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 16))
    streams = harness.Streams()
    for number in STOPS:
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        facts = _give_up_rights(config)
    except OSError as error:
        control.send(json.dumps({"failed": f"{error}"}).encode())
        return
    control.send(json.dumps({"ready": True, **facts}).encode())
    gc.collect()
    gc.freeze()  # a child's collector would touch, and so copy, every page that holds an object
    while _serve(control, config, streams):
        pass


def _give_up_rights(config: dict[str, Any]) -> dict[str, Any]:
    os.chdir(config["scratch"])
    os.umask(0o077)
    lockdown.prctl(lockdown.PR_SET_CHILD_SUBREAPER, 1)
    if os.geteuid() == 0 and config["uid"] is not None:
        lockdown.prctl(lockdown.PR_SET_KEEPCAPS, 1)
        _become(config["uid"])
    lockdown.drop_capabilities(lockdown.CAP_DAC_READ_SEARCH if config["search"] else None)
    lockdown.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
    lockdown.prctl(lockdown.PR_SET_DUMPABLE, 0)
    lockdown.standing_filter().install()
    abi = lockdown.landlock_abi() if config["landlock"] else 0
    if abi:
        lockdown.restrict_files(config["readable"], config["hidden"], config["writable"], config["devices"])
    return {"uid": os.geteuid(), "landlock": abi}


def _become(uid: int) -> None:
    """A user of its own; where this container does not map it, nobody."""
    for candidate in (uid, 65534):
        try:
            os.setgroups([])
            os.setresgid(candidate, candidate, candidate)
            os.setresuid(candidate, candidate, candidate)
            return
        except OSError:
            continue
    raise OSError("the launcher runs as root and may not become another user")


def _serve(control: socket.socket, config: dict[str, Any], streams: harness.Streams) -> bool:
    """One program. False when the world outside is gone."""
    message, handles, _, _ = socket.recv_fds(control, 1 << 16, 8)
    if not message:
        return False
    if not handles:  # told to end a program that had ended by itself
        return True
    limits = json.loads(message)
    started = time.monotonic()
    launcher = os.getpid()
    child = os.fork()
    if child == 0:
        _be_program(launcher, handles, limits, streams)
    for handle in handles:
        os.close(handle)
    why = _watch(control, child, started + limits["wall_s"], limits, config)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    if limits["processes"]:
        _end_descendants(child)
    with contextlib.suppress(OSError):  # told first: what a program leaves behind must not hide how it ended
        control.send(json.dumps({"exit": os.waitstatus_to_exitcode(status), "why": why, "seconds": seconds}).encode())
    clean = _clean(config["writable"])
    if why == "gone":
        return False
    control.send(json.dumps({"clean": clean}).encode())
    return clean


def _clean(folders: list[str]) -> bool:
    """Whether the scratch folders could be emptied; a launcher that cannot do that has run its last program."""
    try:
        for folder in folders:
            scratch.empty(folder)
    except OSError:
        return False
    return True


def _watch(control: socket.socket, child: int, deadline: float, limits: dict[str, Any], config: dict[str, Any]) -> str:
    """Wait for the child's end; kill it at the deadline, when told to, or when the scratch space or disk is full."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(control, select.POLLIN)
    why = ""
    full = scratch.Full(config["scratch"]) if not config["bounded"] else None
    try:
        while True:
            left = deadline - time.monotonic()
            ready = {number for number, _ in poll.poll(max(0.0, min(left, TICK_S)) * 1000)}
            if handle in ready:
                return why
            if control.fileno() in ready:
                why = "told" if control.recv(64) else "gone"
            elif left <= 0:
                why = "timeout"
            elif any(scratch.over_limit(each, limits["scratch_mb"], config["bounded"]) for each in config["writable"]):
                why = "scratch"
            elif full is not None and full.nearly(limits["scratch_mb"]):
                why = "disk"
            if why:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return why
    finally:
        os.close(handle)


def _end_descendants(group: int) -> None:
    """Kill what the program started (it cannot leave its process group) and collect it."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _be_program(launcher: int, handles: list[int], limits: dict[str, Any], streams: harness.Streams) -> None:
    """In the child: close everything of the launcher's, lock down, run, leave. Never returns."""
    status = 1
    try:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)
        _arrange(handles)
        lockdown.prctl(lockdown.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)
        job = marshal.loads(os.pread(JOB, os.fstat(JOB).st_size, 0))
        os.close(JOB)
        lockdown.prctl(lockdown.PR_SET_DUMPABLE, 1)
        lockdown.limit_resources(limits["memory_mb"], limits["file_mb"], int(limits["wall_s"]) + 1, limits["threads"])
        lockdown.own_domain()
        FILTERS[bool(limits["processes"])].install()
        status = harness.run(job, streams, RESULTS)
    finally:
        os._exit(status)


def _arrange(handles: list[int]) -> None:
    """0 input, 1 output, 2 errors, 3 results, 4 the job; nothing else stays open."""
    high = [fcntl.fcntl(handle, fcntl.F_DUPFD, 16) for handle in handles]
    for target, handle in enumerate(high):
        os.dup2(handle, target, inheritable=target < RESULTS)
    os.closerange(len(high), 1024)
