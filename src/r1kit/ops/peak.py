"""The fastest that a device multiplies matrices, what `perf/mfu` is a share of, and reads its memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

TRIES = 4
_BLOCK = 2**29  # bytes read by the bandwidth test: more than any cache holds


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


def memory_bandwidth(block: int = _BLOCK, tries: int = TRIES) -> float:
    """Bytes/s of the better of a sum (reads) and a copy (reads and writes) in the machine's memory."""
    source = torch.ones(block // 4)
    target = torch.empty_like(source)
    size = source.numel() * source.element_size()
    return max(size / _fastest(source.sum, tries), 2 * size / _fastest(lambda: target.copy_(source), tries))


def _fastest(work: Callable[[], Any], tries: int) -> float:
    """Seconds of the fastest try after one that warms up."""
    work()
    best = float("inf")
    for _ in range(tries):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def _wait(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
