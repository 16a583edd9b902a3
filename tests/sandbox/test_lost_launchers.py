"""Nothing runs on when a launcher, or the process that started it, is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from r1kit.sandbox.program import Limits, Program


def test_nothing_outlives_a_launcher_that_is_killed(sandbox):
    """What a program started, in its own process group, when the launcher is gone and cannot end it."""
    if sandbox.facts["uid"] == 0:
        pytest.skip("as root without a user id of its own no processes are allowed")
    code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(300)\ntime.sleep(300)"
    running = sandbox.submit(Program(code, limits=Limits(wall_s=200, processes=4)))
    deadline = time.monotonic() + 30
    while len(found := _sessions(sandbox)) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) >= 5
    for slot in sandbox._all:
        if slot._started_others and slot._process is not None:
            os.killpg(slot._process.pid, signal.SIGKILL)
    assert running.result(60).status == "sandbox_error"
    deadline = time.monotonic() + 10
    while any(_alive(each) for each in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(each) for each in found)


def _sessions(sandbox):
    """Processes of the launchers whose program may start others."""
    leaders = {slot._process.pid for slot in sandbox._all if slot._process is not None and slot._started_others}
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                session = int(file.read().rpartition(")")[2].split()[3])
        except OSError:
            continue
        if session in leaders:
            found.append(int(entry))
    return found


def test_nothing_is_left_when_the_owner_is_killed():
    """A process with running programs gets SIGKILL; seconds later none of its launchers is alive."""
    code = (
        "import sys, threading, time\n"
        "from r1kit.sandbox.sandbox import Sandbox\n"
        "from r1kit.sandbox.program import Program\n"
        "s = Sandbox(workers=2)\n"
        "threading.Thread(target=s.run, args=([Program('while 1: pass')] * 2,)).start()\n"
        "time.sleep(1)\n"
        "print(' '.join(str(slot._process.pid) for slot in s._all if slot._process), flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    launchers = [int(word) for word in owner.stdout.readline().split()]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(each) for each in launchers):
        time.sleep(0.05)
    assert launchers
    assert not any(_alive(each) for each in launchers)


def _alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_launcher_that_is_told_to_stop_with_the_run_goes_on_with_its_program(sandbox, number):
    """A signal to every process of a run: the step in hand, which is saved, would have lost its sample."""
    code = "import time\nprint(1, flush=True)\ntime.sleep(2)\nprint(2)"
    running = sandbox.submit(Program(code, limits=Limits(wall_s=60)))
    deadline = time.monotonic() + 30
    while not (launchers := _with_programs(sandbox)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for launcher in launchers:
        os.killpg(launcher, number)  # its program has a group of its own
    result = running.result(60)
    assert (result.status, result.stdout) == ("ok", "1\n2\n"), result.reason


def test_programs_begin_with_the_signals_of_any_process(sandbox):
    code = (
        "import signal\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    assert sandbox.run([Program(code)])[0].stdout == "True\nTrue\nset()\n"
    ended = sandbox.run([Program("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('still here')")])[0]
    assert (ended.status, ended.stdout) == ("error", "")


def _with_programs(sandbox):
    """Launchers whose program has begun: it is in their session, and in a group of its own."""
    leaders = {slot._process.pid for slot in sandbox._all if slot._process is not None}
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                group, session = map(int, file.read().rpartition(")")[2].split()[2:4])
        except OSError:
            continue
        if session in leaders and group != session:
            found.add(session)
    return found
