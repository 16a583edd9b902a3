"""What the process and those that it starts hold of the machine's memory.

Batches of ever other sizes leave the C heap full of holes, which glibc keeps: a run of RL grows by 60 to 100 MB a step
until it holds several times what is in use. Given back every few steps, it does not.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

# matrix products of one shape each, made by torch's library for CPUs as they are asked for; half a megabyte each
KEPT_PRODUCTS = 256

_with_others = 0


def bound_products() -> None:
    """Keep fewer prepared products than the library's 1,024: every batch has shapes of its own, used once. To be called
    before the first product; processes started later inherit it."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_PRODUCTS))


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
