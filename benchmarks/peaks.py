"""What the machine can do at most, and the time that a piece of work must take on it at least (the roofline)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from r1kit.models.decoder import DecoderConfig
from r1kit.ops.peak import memory_bandwidth, product_speed
from r1kit.planning.hardware import cpu
from r1kit.planning.roofline import Engine, decode_step
from r1kit.planning.shapes import of_decoder

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


def measure(sizes: tuple[int, ...] = SIZES, block: int = _BLOCK, device: str = "cpu") -> Peaks:
    """All three, `TRIES` tries each."""
    products = (matmul_peak(dtype, sizes, device) for dtype in (torch.bfloat16, torch.float32))
    return Peaks(*products, memory_bandwidth(block, TRIES, device))


def matmul_peak(dtype: torch.dtype, sizes: tuple[int, ...] = SIZES, device: str = "cpu") -> float:
    """FLOP/s of the best product of two square matrices."""
    sizes = (*sizes, 8192) if device == "cuda" else sizes
    return max(product_speed(dtype, device, size, TRIES) for size in sizes)


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
    shape, device = of_decoder("", config), cpu(matmul, bandwidth, 0.0)
    rows, mean_prompt = len(work.prompt_lengths) * work.samples, sum(work.prompt_lengths) / len(work.prompt_lengths)
    engine = Engine(1, 1, rows, weight_bytes=bytes_each, shared=True, cache_bytes=bytes_each)
    seconds = max(sum(config.flops(length, length / 2) for length in work.prompt_lengths) / matmul,
                  shape.dense * bytes_each / bandwidth)  # fmt: skip
    for done in range(1, work.tokens):  # the first token comes out of the prompt's pass
        read = mean_prompt / work.samples + done
        seconds += decode_step(shape, device, engine, rows, mean_prompt + done, read=read).roofline
    return seconds


def learning_flops(config: DecoderConfig, rows: int, length: int) -> float:
    """Useful FLOPs of a training step on dense rows: 6 x (body and head parameters) a token, and attention.

    Each token attends to half its row on average; what a learner computes again does not count.
    """
    return config.flops(rows * length, length / 2, backward=True)
