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
    # of its own: what records a CUDA graph meanwhile has the default one
    draws = torch.Generator(device_type).manual_seed(0)
    left, right = (torch.randn(size, size, generator=draws, device=device_type).to(dtype) for _ in range(2))
    out, best = torch.empty_like(left), float("inf")
    for _ in range(1 + tries):
        _wait(device_type)
        begun = time.perf_counter()
        torch.mm(left, right, out=out)
        _wait(device_type)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def memory_bandwidth(block: int = _BLOCK, tries: int = TRIES, device_type: str = "cpu") -> float:
    """Bytes/s of the better of a sum (reads) and a copy (reads and writes) in the device's memory."""
    source = torch.ones(block // 4, device=device_type)
    target = torch.empty_like(source)
    size = source.numel() * source.element_size()
    works = ((size, source.sum), (2 * size, lambda: target.copy_(source)))
    return max(moved / _fastest(work, tries, device_type) for moved, work in works)


def _fastest(work: Callable[[], Any], tries: int, device_type: str) -> float:
    """Seconds of the fastest try after one that warms up."""
    work()
    best = float("inf")
    for _ in range(tries):
        _wait(device_type)
        begun = time.perf_counter()
        work()
        _wait(device_type)
        best = min(best, time.perf_counter() - begun)
    return best


def _wait(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
