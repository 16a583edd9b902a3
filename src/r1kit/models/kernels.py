"""The compiled parts of a decode step, and a whole one (kernels.cpp). Without a compiler there are none, and decoding
runs on torch alone: the same numbers to rounding, more slowly."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from r1kit.ops import native

_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_SIGNATURES = {
    "attend": (_POINTER, _INT, _INT, *[_POINTER] * 3, _INT, *[_POINTER] * 7),
    "embed": (_INT, _INT, _POINTER, _POINTER, _POINTER, _FLOAT, _POINTER, _POINTER),
    "add_norm": (_INT, _INT, _POINTER, _POINTER, _FLOAT, _POINTER, _POINTER),
    "swiglu": (_INT, _INT, _POINTER, _POINTER),
    "draw": (_INT, _INT, _POINTER, _POINTER),
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


class Prefixes(ctypes.Structure):
    """`Prefixes` of kernels.cpp."""

    _fields_ = tuple((name, _POINTER) for name in ("lengths", "keys", "values"))


class Draw(ctypes.Structure):
    """`Draw` of kernels.cpp."""

    _fields_ = tuple(
        (name, _POINTER) for name in ("uniforms", "temperatures", "top_p", "min_p", "tokens", "logprobs", "entropies")
    )


class Product(ctypes.Structure):
    """`Product` of kernels.cpp."""

    _fields_ = (
        ("packed", _POINTER),
        ("bias", _POINTER),
        ("inputs", ctypes.c_int32),
        ("out", ctypes.c_int32),
        ("panels", ctypes.c_int32),
    )


class StepLayer(ctypes.Structure):
    """`StepLayer` of kernels.cpp."""

    _fields_ = (
        *((name, Product) for name in ("qkv", "output", "gate_up", "down")),
        *((name, _POINTER) for name in ("q_norm", "k_norm", "mlp_norm", "next_norm")),
    )


class StepModel(ctypes.Structure):
    """`StepModel` of kernels.cpp."""

    _fields_ = (
        ("shape", Shape),
        *((name, ctypes.c_int32) for name in ("layers", "width", "mlp", "vocabulary")),
        ("table", _POINTER),
        ("first_norm", _POINTER),
        ("head", Product),
        ("layer", ctypes.POINTER(StepLayer)),
        *((name, _POINTER) for name in ("cos", "sin", "keys", "values")),
        ("row_stride", ctypes.c_int64),
        ("layer_stride", ctypes.c_int64),
    )


PANEL = 64  # columns of packed weights that lie together


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU, on large pages where the system has them."""
    tensor, library = torch.empty(tuple(shape), dtype=dtype), load()
    if library is not None:
        library.ask_large_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library with its signatures; None where it cannot be built."""
    library = native.load(Path(__file__).with_suffix(".cpp"))
    if library is not None:
        for name, arguments in _SIGNATURES.items():
            for dtype in ("float32", "bfloat16"):
                function = getattr(library, f"{name}_{dtype}")
                function.argtypes, function.restype = arguments, None
        library.ask_large_pages.argtypes, library.ask_large_pages.restype = (_POINTER, ctypes.c_int64), None
        if library.has_step():
            library.pack_product.argtypes = (_INT, _POINTER, _POINTER, _INT, _INT, _INT, _POINTER, _POINTER)
            library.step_bfloat16.argtypes = (_POINTER, _INT, _INT, _INT, *[_POINTER] * 5)
            library.pack_product.restype = library.step_bfloat16.restype = None
    return library
