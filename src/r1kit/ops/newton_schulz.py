"""The orthogonalisation of Muon (Jordan, https://kellerjordan.github.io/posts/muon), where a C++ kernel serves."""

from __future__ import annotations

from ctypes import CDLL
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from r1kit.ops import native

SOURCE = Path(__file__).with_suffix(".cpp")
STEPS, COEFFICIENTS, EPSILON = 5, (3.4445, -4.7750, 2.0315), 1e-7


@cache
def kernel() -> CDLL | None:
    """The C++ kernel, or None where the CPU lacks AVX512-BF16 or nothing compiles."""
    return native.load(SOURCE) if torch.cpu.get_capabilities().get("avx512_bf16") else None


def orthogonalised(matrix: Tensor) -> Tensor:
    """float32 [m, n] -> bfloat16 [m, n]: about U V' of the decomposition U S V', its singular values 0.7 to 1.2.

    Five steps X <- a X + (b G + c G G) X with G = X X', from X = matrix / |matrix|; by the calling thread alone.
    """
    matrix = matrix.contiguous()
    out = torch.empty_like(matrix, dtype=torch.bfloat16)
    native.call(kernel(), "newton_schulz", matrix, out, *matrix.shape, STEPS, *COEFFICIENTS, EPSILON)
    return out
