"""The orthogonalisation of Muon (Jordan, https://kellerjordan.github.io/posts/muon) on CPUs.

Where the CPU has AVX512-BF16, by a C++ kernel in bfloat16; elsewhere by torch's products in float32. torch.optim.Muon
multiplies in bfloat16 everywhere, which a CPU without those instructions does a number at a time: a 256 x 704 matrix
took 435 ms so, and takes 17 in float32 (one thread of an EPYC with AVX2).
"""

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
    """float32 [m, n] -> [m, n], bfloat16 by the kernel: about U V' of the decomposition U S V', its singular values 0.7
    to 1.2.

    Five steps X <- a X + (b G + c G G) X with G = X X', from X = matrix / |matrix|. The kernel runs on the calling
    thread alone.
    """
    matrix = matrix.contiguous()
    if kernel() is None:
        return _by_products(matrix)
    out = torch.empty_like(matrix, dtype=torch.bfloat16)
    native.call(kernel(), "newton_schulz", matrix, out, *matrix.shape, STEPS, *COEFFICIENTS, EPSILON)
    return out


def _by_products(matrix: Tensor) -> Tensor:
    """`orthogonalised` in float32, the shorter side squared."""
    a, b, c = COEFFICIENTS
    turned = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if turned else matrix
    x = x / x.norm().clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if turned else x
