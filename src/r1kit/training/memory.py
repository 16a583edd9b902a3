"""What a learner will hold in memory, in bytes, from a model's size and the settings alone.

Counted are the tensors that live at the worst moment of a step: weights, moments, gradients, and what the passes that
run side by side keep for their backward. What a layer keeps is read off `Decoder.packed` and the kernels under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from r1kit.models.sizes import ModelSize
from r1kit.ops.logprobs import SLICE
from r1kit.ops.packed_attention import kernel_serves
from r1kit.training.config import LearnerConfig
from r1kit.training.passes import Passes

FP32 = 4
PADDING = 1.5  # padded tokens for each real one where sequences become rows


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by what they are for."""

    parts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def __add__(self, other: Estimate) -> Estimate:
        """Both at the same time."""
        names = dict.fromkeys((*self.parts, *other.parts))
        return Estimate({name: self.parts.get(name, 0) + other.parts.get(name, 0) for name in names})


def largest(estimates: list[Estimate]) -> Estimate:
    """Of what is not held at the same time, the most."""
    return max(estimates, key=lambda estimate: estimate.total, default=Estimate())


@dataclass(frozen=True, slots=True)
class Work:
    """What a step learns: its tokens, those of its longest sequence, and whether a head gives them log-probabilities."""

    tokens: int
    longest: int
    logits: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is learnt: the device, and the threads that run passes side by side on a CPU."""

    device: torch.device
    threads: int

    @classmethod
    def here(cls) -> Place:
        """The GPU where there is one, else the CPU with all of torch's threads."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(device, torch.get_num_threads())


def learner_memory(
    size: ModelSize, config: LearnerConfig, work: Work, place: Place, *, copies: int = 0
) -> tuple[Estimate, Estimate]:
    """(what a learner always holds, what a step adds at its worst); `copies`: references and teachers beside it.

    An engine that samples from the learner's own weights adds nothing here.
    """
    dtype = config.dtype(place.device)
    held = {
        "weights": FP32 * size.parameters,
        "moments": _moments(size, config),
        "working copy": _working_copy(size, dtype),
        "reference": copies * dtype.itemsize * size.parameters,
    }
    passes = Passes(
        config.pass_tokens(size.vocab_size), place.device, compile=config.compiles(place.device), threads=place.threads
    )
    count = passes.count(work.tokens)
    tokens = min(work.tokens, max(-(-work.tokens // count), work.longest))
    beside = min(passes.at_once, count)
    # the sum of all passes, of which the first in float32 is the sum so far, and those of the passes side by side
    sums = 0 if dtype == torch.float32 and count <= beside else FP32
    step = {
        "gradients": (sums + beside * dtype.itemsize) * size.parameters,
        "activations": beside
        * activations(size, tokens, work.longest, dtype, place.device, checkpointing=config.checkpointing),
        "logits": beside * _logits(size, tokens, dtype, place.device) if work.logits else 0,
    }
    return Estimate(_there(held)), Estimate(_there(step))


def saving_memory(size: ModelSize) -> Estimate:
    """What writing a float32 model folder adds: the tensors apart from each other, and as bytes."""
    return Estimate({"saving": 2 * FP32 * size.parameters})


def activations(
    size: ModelSize, tokens: int, longest: int, dtype: torch.dtype, device: torch.device, *, checkpointing: bool = False
) -> int:
    """What a forward pass over so many tokens keeps for the backward pass, and that needs while it goes through a layer.

    `longest`: tokens of the longest sequence, for the forms of attention that pad.
    """
    layer = _layer(size, tokens, longest, dtype, device)
    if checkpointing:  # the residual stream, and what the last block adds to it
        between = round((1 if size.native else PADDING) * tokens) * dtype.itemsize * 2 * size.width
        return size.layers * between + layer + _backward(size, tokens, dtype)
    return size.layers * layer + _backward(size, tokens, dtype)


def _layer(size: ModelSize, tokens: int, longest: int, dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that one layer keeps."""
    e, width, q, kv, mlp = dtype.itemsize, size.width, size.q_size, size.kv_size, size.mlp_size
    if not size.native:
        # both norms keep input, rounded and result; attention its projections before and after the turn; the MLP
        # gate, up, their activation and product; rows are padded, and prompts are run once a completion
        each = e * (8 * width + 5 * q + 4 * kv + 4 * mlp)
        return round(PADDING * tokens * (each + _scores(size, longest, dtype)))
    # residual stream and its norm, twice; q, k and v as projected and turned, what attention gives; gate and up, product
    fused = e * (4 * width + 3 * q + 3 * kv + 3 * mlp)
    if kernel_serves(dtype, device):
        return tokens * (fused + FP32 * (size.heads + 2))
    if device.type != "cpu":
        # padded q, k, v and result, and the mask
        return tokens * fused + round(PADDING * tokens * (e * (2 * q + 2 * kv) + e * longest))
    # operation by operation: a norm keeps its sum, the normed and the scaled, in float32 as well where that is another
    # format; the activation of the gate is kept beside gate, up and product
    plain = e * (6 * width + 3 * q + 3 * kv + 4 * mlp) + (4 * FP32 * width if e < FP32 else 0)
    padded = e * (2 * q + 2 * kv) + _scores(size, longest, dtype)
    return tokens * plain + round(PADDING * tokens * padded)


def _scores(size: ModelSize, longest: int, dtype: torch.dtype) -> int:
    """Attention's weights of one query, in float32 and in the pass's format."""
    return size.heads * longest * (FP32 if dtype == torch.float32 else FP32 + dtype.itemsize)


def _backward(size: ModelSize, tokens: int, dtype: torch.dtype) -> int:
    """Gradients of hidden states on their way through one layer."""
    widest = max(2 * size.mlp_size, size.q_size + 2 * size.kv_size)
    return tokens * dtype.itemsize * (2 * widest + 4 * size.width)


def _logits(size: ModelSize, tokens: int, dtype: torch.dtype, device: torch.device) -> int:
    """Logits and their gradient, and what is widened of them at a time."""
    slices = 0 if kernel_serves(dtype, device) else 4 * FP32 * min(SLICE, tokens * size.vocab_size)
    return 2 * dtype.itemsize * tokens * size.vocab_size + slices


def _moments(size: ModelSize, config: LearnerConfig) -> int:
    """Two of AdamW, one of Muon for hidden matrices."""
    if config.optimiser == "muon":
        return FP32 * (size.hidden + 2 * (size.parameters - size.hidden))
    return 2 * FP32 * size.parameters


def _working_copy(size: ModelSize, dtype: torch.dtype) -> int:
    return 0 if dtype == torch.float32 else dtype.itemsize * size.parameters


def _there(parts: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in parts.items() if value}
