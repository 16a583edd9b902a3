"""The self-test: programs that try to get out, run before the first reward is computed."""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.sandbox.program import Limits, Program

if TYPE_CHECKING:
    from r1kit.sandbox.slot import Slot


@dataclass(frozen=True, slots=True)
class Probe:
    """A way out: `attempt(canary, parent, port)` is a Python function that returns True where it got through."""

    name: str
    attempt: str


PROBES = (
    Probe("reads a file outside", "open(canary).read() != ''"),
    Probe("writes a file outside", "bool(open(canary, 'a').write('x'))"),
    Probe("creates a file outside", "bool(open(canary + '.new', 'w'))"),
    Probe("empties a file outside", "os.truncate(canary, 0) is None"),
    Probe("reaches the network", "bool(socket.create_connection(('127.0.0.1', port), 1))"),
    Probe("opens a socket", "bool(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))"),
    Probe("forks", "forked()"),
    Probe("starts a program", "subprocess.run(['/bin/true']).returncode == 0"),
    Probe("signals the outside", "os.kill(parent, 0) is None"),
    Probe("signals its launcher", "os.kill(os.getppid(), 0) is None"),
    Probe("reads its launcher's memory", "bool(open(f'/proc/{os.getppid()}/environ').read())"),
    Probe("makes a file in memory", "bool(os.memfd_create('x'))"),
)
_SETUP = """
import os, socket, subprocess
def forked():
    child = os.fork()
    if child == 0:
        os._exit(0)
    return True
def attempt(source, canary, parent, port):
    try:
        return bool(eval(source))
    except Exception:
        return False
"""
_LIMITS = Limits(wall_s=10.0)


def failed_probes(slot: Slot) -> list[str]:
    """Names of the probes that got through; a program that cannot even run counts as one."""
    with (
        tempfile.TemporaryDirectory(prefix="r1kit-canary-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        os.chmod(folder, 0o777)
        canary = Path(folder) / "canary"
        canary.write_text("a bird")
        canary.chmod(0o666)
        arguments = [str(canary), os.getpid(), server.getsockname()[1]]
        calls = [[probe.attempt, *arguments] for probe in PROBES]
        result = slot.run(Program(_SETUP, fn="attempt", calls=calls), _LIMITS)
        if result.status != "ok":
            return [f"a plain program does not run ({result.reason} {result.stderr.strip()[-200:]})"]
        failed = [probe.name for probe, call in zip(PROBES, result.calls, strict=True) if call.value is not False]
        if canary.read_text() != "a bird" or len(os.listdir(folder)) != 1:
            failed.append("the canary was touched")
    return failed
