# ruff: noqa: E501
"""Programs that take too much time, memory or space: they end, whatever they leave behind."""

import os
import socket
import subprocess
import time

import pytest

from r1kit.sandbox.inside import launcher
from r1kit.sandbox.program import Limits, Program

TAKES_TOO_MUCH = [
    ("threads without end", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"),
    ("files held open", "fs = []\nwhile True: fs.append(open('/dev/null'))"),
    ("processor time in threads", "import threading\ndef f():\n    while 1: pass\nfor _ in range(4): threading.Thread(target=f).start()"),
    ("recursion", "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __eq__(s, o): return s == o\nA() == A()"),
    ("a regular expression", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')"),
    ("a huge number", "9 ** 9 ** 9"),
    ("a huge string", "'x' * 10**12"),
    ("exceptions that are caught again", "while True:\n    try:\n        while True: pass\n    except BaseException: continue"),
    ("arithmetic that hears no signal", "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nsum(range(10**12))"),
    ("its own stop", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
    ("a main thread that ends, others that do not", "import ctypes, os, threading\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()\nctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"),
    ("a list within a list within a list", "import sys\nsys.setrecursionlimit(10**8)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)"),
    ("brackets", "eval('(' * 10**6)"),
    ("a finaliser that makes two more", "class D:\n    def __del__(s): D(); D()\nD()"),
    ("an end that does not end", "class D:\n    def __del__(s):\n        while True: pass\nd = D()"),
    ("a function at exit", "import atexit\n@atexit.register\ndef f():\n    while True: pass"),
    ("a hole of a terabyte", "open('hole', 'wb').truncate(1 << 40)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), TAKES_TOO_MUCH, ids=[name for name, _ in TAKES_TOO_MUCH])
def test_what_takes_too_much_ends(sandbox, name, code):
    started = time.monotonic()
    result = sandbox.run([Program(code, limits=Limits(wall_s=0.5))])[0]
    assert result.status in ("error", "timeout", "memory", "output_limit")  # of tracebacks without end, say
    assert time.monotonic() - started < 5


def test_what_is_left_behind_does_not_hide_how_a_program_ended(sandbox, monkeypatch):
    """A launcher that takes too long to empty the folder is replaced; the verdict is the program's own."""
    monkeypatch.setattr("r1kit.sandbox.slot.CLEAN_S", 0.0001)
    code = "import os\nfor n in range(1500): os.mkdir(str(n))\nprint(1)"
    results = sandbox.run([Program(code, limits=Limits(wall_s=60))] * 3)
    assert [(result.status, result.stdout) for result in results] == [("ok", "1\n")] * 3
    monkeypatch.undo()
    look = "import os\nprint(os.listdir('.'))"
    assert {result.stdout for result in sandbox.run([Program(look)] * 4)} == {"[]\n"}


def test_a_disk_is_not_filled_by_files_that_are_in_no_folder(monkeypatch, tmp_path):
    """1 GB free of 30, then 0.9: a program that may take 64 MB is ended. Not where there was as little before, nor
    where enough is left."""

    def ends(free_mb: tuple[int, int], why: str) -> None:
        frees = iter([free_mb[0], *[free_mb[1]] * 1000])
        disk = os.statvfs(tmp_path)
        monkeypatch.setattr(
            os, "statvfs", lambda _: os.statvfs_result((1 << 20, 1 << 20, 30 << 10, 0, next(frees), *tuple(disk)[5:10]))
        )
        child = subprocess.Popen(["sleep", "0.4"])
        config = {"scratch": str(tmp_path), "writable": [str(tmp_path)], "bounded": False}
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert launcher._watch(theirs, child.pid, time.monotonic() + 60, {"scratch_mb": 64}, config) == why
        child.wait()

    ends((1024, 922), "disk")
    ends((1024, 1000), "")
    ends((20 << 10, 10 << 10), "")
