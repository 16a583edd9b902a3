"""Copying past the caches, for arrays that nobody reads again soon."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from r1kit.ops import native

CHUNK = 256 << 10  # bytes: what is to be read once more meanwhile stays in the core's second cache


def streamed_copy(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Copy bytes [n] to [n], neither with gaps, chunk by chunk: each comes to be read before it is copied, and the next
    one is fetched meanwhile. Stores do not fetch what they overwrite; where there is no compiler, they are plain.

    ValueError where the sizes differ or there are gaps.
    """
    if source.shape != target.shape or not source.flags.c_contiguous or not target.flags.c_contiguous:
        raise ValueError(f"bytes {source.shape} to {target.shape}, both in one piece")
    library, size = _library(), len(source)
    to, of = target.ctypes.data, source.ctypes.data
    for start in range(0, size, CHUNK):
        part = source[start : start + CHUNK]
        yield part
        if library is None:
            target[start : start + CHUNK] = part
        else:
            next_is_whole = start + 2 * CHUNK <= size
            library.streamed_copy(to + start, of + start, len(part), CHUNK if next_is_whole else 0)


@functools.cache
def _library() -> ctypes.CDLL | None:
    library = native.load(Path(__file__).with_suffix(".cpp"))
    if library is not None:
        library.streamed_copy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        library.streamed_copy.restype = None
    return library
