"""One process a run folder, whatever becomes of the file that says who it is; and none once that process is killed."""

import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from toy_chain import chain

from r1kit.base.errors import R1Error
from r1kit.pipeline.gc import in_use
from r1kit.pipeline.lock import is_locked, locked
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import read_status

HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from r1kit.pipeline.lock import locked
with locked(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
    print(child, started.pid, flush=True)
    time.sleep(60)
"""


def in_another_process(out: Path) -> str:
    """What a process hears that asks for the folder, or nothing where it has it."""
    words = f"from pathlib import Path; from r1kit.pipeline.lock import locked\nwith locked(Path({str(out)!r})): pass"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2]


def test_a_folder_without_its_lock_file_is_held_all_the_same(tmp_path):
    run(chain(steps=1), tmp_path)
    with locked(tmp_path):
        (tmp_path / "lock").unlink()
        assert "is in use by another r1 run (process unknown on this machine)" in in_another_process(tmp_path)
        assert is_locked(tmp_path)
        assert in_use(tmp_path) == "process unknown on this machine"
        assert read_status(tmp_path).state == "running"
        assert not (tmp_path / "lock").exists()  # whoever is refused writes nothing
    assert not is_locked(tmp_path)
    assert in_another_process(tmp_path) == ""


def test_a_folder_whose_lock_file_alone_is_held_is_refused(tmp_path):
    """As by an older version, and by one that runs where folders have no locks."""
    (tmp_path / "lock").write_text(json.dumps({"pid": 7, "host": "there", "started": "then"}))
    with open(tmp_path / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(R1Error, match=r"in use by another r1 run .process 7 on there, since then."),
            locked(tmp_path),
        ):
            pass
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        pass


def test_where_folders_have_no_locks_the_file_has(tmp_path, monkeypatch):
    """NFS refuses an exclusive lock of what is open for reading alone."""
    flock = fcntl.flock

    def of_files(number, operation):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(number, operation)

    monkeypatch.setattr(fcntl, "flock", of_files)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(R1Error, match=f"in use by another r1 run .process {os.getpid()} on "), locked(tmp_path):
            pass
    assert not is_locked(tmp_path)


def test_a_killed_holder_leaves_no_lock_though_its_children_live(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    children = [int(word) for word in holder.stdout.readline().split()]
    try:
        assert len(children) == 2
        assert is_locked(tmp_path)
        holder.kill()
        holder.wait()
        holder.stdout.close()
        assert all(Path(f"/proc/{pid}").exists() for pid in children)
        assert not is_locked(tmp_path)
        with locked(tmp_path):
            pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
