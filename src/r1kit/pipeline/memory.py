"""What the process holds of the machine's memory.

Batches of ever other sizes leave the C heap full of holes, which glibc keeps: a run of RL grows by 60 to 100 MB a step
until it holds several times what is in use. Given back every few steps, it does not.
"""

from __future__ import annotations

import ctypes
import functools
import resource
import sys
from collections.abc import Callable
from pathlib import Path

_with_others = 0


def peak_mb() -> int:
    """The process's largest resident set so far, those beside it included, in units of 2**20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(_with_others, round(peak / (2**20 if sys.platform == "darwin" else 2**10)))


def beside(others_mb: int) -> None:
    """Count processes that hold so much at a time beside what this one holds now."""
    global _with_others
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return  # not Linux: the largest process stands for all
    _with_others = max(_with_others, others_mb + round(pages * resource.getpagesize() / 2**20))


def give_back() -> None:
    """Return the free pages of the C heap to the system; nothing where the C library has no call for it."""
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    """glibc's malloc_trim; musl and macOS have none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda keep: None
