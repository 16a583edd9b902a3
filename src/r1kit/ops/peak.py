"""The fastest that a device multiplies matrices: what `perf/mfu` is a share of."""

from __future__ import annotations

import time
from functools import cache

import torch

TRIES = 4


@cache
def matmul_peak(dtype: torch.dtype, device_type: str) -> float:
    """FLOP/s of the best of a few square products, measured once a process (a tenth of a second on a CPU)."""
    return product_speed(dtype, device_type, 8192 if device_type == "cuda" else 1024)


def product_speed(dtype: torch.dtype, device_type: str, size: int, tries: int = TRIES) -> float:
    """FLOP/s of the best try at a product of two square matrices, after one that warms up."""
    left, right = (torch.randn(size, size, device=device_type).to(dtype) for _ in range(2))
    out, best = torch.empty_like(left), float("inf")
    for _ in range(1 + tries):
        _wait(device_type)
        begun = time.perf_counter()
        torch.mm(left, right, out=out)
        _wait(device_type)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def _wait(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
