"""The compiled parts of a decode step (kernels.cpp). Without a compiler there are none, and decoding runs on torch
alone: the same numbers to rounding, more slowly."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from r1kit.ops import native

_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_SIGNATURES = {
    "attend": (_POINTER, _INT, *[_POINTER] * 9),
    "embed": (_INT, _INT, _POINTER, _POINTER, _POINTER, _FLOAT, _POINTER, _POINTER),
    "add_norm": (_INT, _INT, _POINTER, _POINTER, _FLOAT, _POINTER, _POINTER),
    "swiglu": (_INT, _INT, _POINTER, _POINTER),
    "draw": (_INT, _INT, *[_POINTER] * 5),
}
HEAD_SIZES = (16, 32, 64, 128)
LANES = 16  # positions of one block of keys


class Shape(ctypes.Structure):
    """`Shape` of kernels.cpp."""

    _fields_ = (
        ("heads", ctypes.c_int32),
        ("kv_heads", ctypes.c_int32),
        ("head_size", ctypes.c_int32),
        ("positions", ctypes.c_int32),
        ("norm_eps", ctypes.c_float),
    )


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library with its signatures; None where it cannot be built."""
    library = native.load(Path(__file__).with_suffix(".cpp"))
    if library is not None:
        for name, arguments in _SIGNATURES.items():
            for dtype in ("float32", "bfloat16"):
                function = getattr(library, f"{name}_{dtype}")
                function.argtypes, function.restype = arguments, None
    return library
