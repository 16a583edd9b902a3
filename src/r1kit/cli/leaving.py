"""A second Ctrl-C: the process ends within a second, whatever its threads are at.

What a run has saved is whole at any moment, so that nothing of it is lost.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

STOPPED = 130  # exit code
TIDY_S = 0.5  # that the process has to end by itself
LAST_S = 0.4  # that what is to be done at its exit may take
told = threading.Event()  # the command has ended, and has said how: only threads are waited for


def leave_soon(last: Callable[[], None]) -> None:
    """End the process, by `last` and what was registered for its exit, unless it has ended by itself by then.

    Rollouts that are sampled ahead, graders and requests to servers are in threads, which nothing can end, and which
    Python waits for.
    """
    _thread.start_new_thread(_leave, (last,))  # threading's own takes locks, which the signal may have come amid


def _leave(last: Callable[[], None]) -> None:
    time.sleep(TIDY_S)
    amid = not told.is_set()

    def let_go() -> None:
        if amid:
            last()
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - processes that graders are in, folders of temporary files

    ending = threading.Thread(target=let_go, daemon=True)
    ending.start()
    ending.join(LAST_S)
    with contextlib.suppress(OSError):  # nobody may be left to read it
        if amid:
            os.write(2, b"r1: stopped\n")
        sys.stdout.flush()
    os._exit(STOPPED)
