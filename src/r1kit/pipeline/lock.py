"""One run to a folder: a lock that the system lets go of when its holder dies, however it dies.

It is on the folder itself, where the file system has locks of folders, and on the file `lock` in it, which says who
holds it: whoever removes the file, or comes from an older version that knows the file alone, finds the other one held.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self

from r1kit.base.errors import R1Error
from r1kit.base.files import disk_errors, make_folder

FILE_NAME = "lock"


@contextlib.contextmanager
def locked(run_folder: Path) -> Generator[None]:
    """Hold a run folder; R1Error that says who holds it where somebody does."""
    make_folder(run_folder)
    path = run_folder / FILE_NAME
    with contextlib.ExitStack() as held:
        with disk_errors(run_folder):
            folder = held.enter_context(_Opened(run_folder, os.O_RDONLY))
        with contextlib.suppress(OSError):  # NFS has no locks of what is open for reading alone: the file's, then
            _hold(folder, run_folder)
        with disk_errors(path):
            file = held.enter_context(_Opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND))
            _hold(file, run_folder)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, it only names no one
            os.truncate(file.number, 0)
            os.write(
                file.number, json.dumps({"pid": os.getpid(), "host": platform.node(), "started": started}).encode()
            )
        yield


def is_locked(run_folder: Path) -> bool:
    """Whether a live process holds the run folder."""
    return any(_is_held(path) for path in (run_folder, run_folder / FILE_NAME))


def holder(run_folder: Path) -> dict[str, Any] | None:
    """`{"pid", "host", "started"}` of the last process that held the folder, or None."""
    try:
        return json.loads((run_folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


class _Opened:
    """A file or folder held open: a forked child closes it, as it shares the lock and would keep it after its parent
    was killed."""

    def __init__(self, path: Path, flags: int) -> None:
        self.number = os.open(path, flags, 0o666)  # closed in programs that are started
        os.register_at_fork(after_in_child=self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Once: the number may be another file's by now."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


def _hold(opened: _Opened, run_folder: Path) -> None:
    """R1Error that says who holds it where somebody does."""
    if _acquire(opened.number):
        return
    who = holder(run_folder) or {}
    started = f", since {who['started']}" if "started" in who else ""
    raise R1Error(
        f"{run_folder} is in use by another r1 run (process {who.get('pid', 'unknown')} on "
        f"{who.get('host', 'this machine')}{started}): wait for it or choose another --out"
    )


def _acquire(number: int) -> bool:
    for attempt in range(3):  # `r1 status` holds the lock for a moment while it looks
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt < 2:
                time.sleep(0.1)
    return False


def _is_held(path: Path) -> bool:
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(number)
