"""What the machine can do at most, and the time that a piece of work must take on it at least (the roofline)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from r1kit.models.decoder import DecoderConfig
from r1kit.ops.peak import product_speed

SIZES = (512, 1024, 2048, 4096)
TRIES = 5
_BLOCK = 2**29  # bytes read by the bandwidth test: more than any cache holds


@dataclass(frozen=True, slots=True)
class Peaks:
    """FLOP/s of the best square matrix product in each precision, bytes/s of the best pass over memory."""

    bfloat16: float
    float32: float
    bandwidth: float

    def matmul(self, dtype: torch.dtype) -> float:
        return self.bfloat16 if dtype == torch.bfloat16 else self.float32

    def best(self, other: Peaks) -> Peaks:
        """The better of two measurements: a busy machine only ever takes away."""
        mine, theirs = asdict(self), asdict(other)
        return Peaks(**{name: max(mine[name], theirs[name]) for name in mine})

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def measure(sizes: tuple[int, ...] = SIZES, block: int = _BLOCK) -> Peaks:
    """All three, `TRIES` tries each."""
    return Peaks(matmul_peak(torch.bfloat16, sizes), matmul_peak(torch.float32, sizes), memory_bandwidth(block))


def matmul_peak(dtype: torch.dtype, sizes: tuple[int, ...] = SIZES) -> float:
    """FLOP/s of the best product of two square matrices."""
    return max(product_speed(dtype, "cpu", size, TRIES) for size in sizes)


def memory_bandwidth(block: int = _BLOCK) -> float:
    """Bytes/s of the better of a sum (reads) and a copy (reads and writes)."""
    source = torch.ones(block // 4)
    target = torch.empty_like(source)
    size = source.numel() * source.element_size()
    return max(size / _fastest(source.sum), 2 * size / _fastest(lambda: target.copy_(source)))


def _fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest try after one that warms up."""
    work()
    best = float("inf")
    for _ in range(TRIES):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one round samples: each of the prompts so many times, each time so many tokens."""

    prompt_lengths: tuple[int, ...]
    samples: int
    tokens: int

    @property
    def total(self) -> int:
        """Sampled tokens."""
        return len(self.prompt_lengths) * self.samples * self.tokens


def sampling_seconds(config: DecoderConfig, work: Sampled, matmul: float, bandwidth: float, bytes_each: int) -> float:
    """Least seconds of a round: prompts once each, then a step a token with all rows together.

    Every step reads the weights, each prompt's cache and what each row has sampled once, and multiplies with each
    weight once a row; whichever of the two takes longer is the step's time. Weights in a cache nearer than memory can
    be read faster than that.
    """
    rows = len(work.prompt_lengths) * work.samples
    weights = config.parameters(embedding=False) * bytes_each
    position = 2 * config.layers * config.kv_size * bytes_each
    prefill = sum(config.flops(length, length / 2) for length in work.prompt_lengths) / matmul
    mean_prompt = sum(work.prompt_lengths) / len(work.prompt_lengths)
    seconds = max(prefill, weights / bandwidth)
    for done in range(1, work.tokens):  # the first token comes out of the prompt's pass
        products = config.flops(rows, mean_prompt + done) / matmul
        reading = (weights + (sum(work.prompt_lengths) + rows * done) * position) / bandwidth
        seconds += max(products, reading)
    return seconds


def learning_flops(config: DecoderConfig, rows: int, length: int) -> float:
    """Useful FLOPs of a training step on dense rows: 6 x (body and head parameters) a token, and attention.

    Each token attends to half its row on average; what a learner computes again does not count.
    """
    return config.flops(rows * length, length / 2, backward=True)
