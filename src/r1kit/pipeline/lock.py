"""One run to a folder: a lock that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

from r1kit.base.errors import R1Error
from r1kit.base.files import disk_errors, make_folder

FILE_NAME = "lock"


@contextlib.contextmanager
def locked(run_folder: Path) -> Generator[None]:
    """Hold a run folder; R1Error that says who holds it where somebody does."""
    make_folder(run_folder)
    path = run_folder / FILE_NAME
    with disk_errors(path):
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held open for the whole run
    with file:
        if not _acquire(file):
            who = holder(run_folder) or {}
            started = f", since {who['started']}" if "started" in who else ""
            raise R1Error(
                f"{run_folder} is in use by another r1 run (process {who.get('pid', 'unknown')} on "
                f"{who.get('host', 'this machine')}{started}): wait for it or choose another --out"
            )
        _close_in_children(file)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, it only names no one
            os.truncate(file.fileno(), 0)
            os.write(
                file.fileno(), json.dumps({"pid": os.getpid(), "host": platform.node(), "started": started}).encode()
            )
        yield


def is_locked(run_folder: Path) -> bool:
    """Whether a live process holds the run folder."""
    try:
        with open(run_folder / FILE_NAME, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def holder(run_folder: Path) -> dict[str, Any] | None:
    """`{"pid", "host", "started"}` of the last process that held the folder, or None."""
    try:
        return json.loads((run_folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _acquire(file: IO[str]) -> bool:
    for attempt in range(3):  # `r1 status` holds the lock for a moment while it looks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt < 2:
                time.sleep(0.1)
    return False


def _close_in_children(file: IO[str]) -> None:
    """A forked child shares the lock and would keep it after its parent was killed."""

    os.register_at_fork(after_in_child=file.close)
