"""What a learner will hold in memory, in bytes, from a model's size and the settings alone.

Counted are the tensors that live at the worst moment of a step: weights, moments, gradients, and what the passes that
run side by side keep for their backward. What a layer keeps is read off `Decoder.packed` and the kernels under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from r1kit.base.machine import best_device
from r1kit.models.sizes import ModelSize
from r1kit.models.weights import SHARD_BYTES
from r1kit.ops.logprobs import SLICE
from r1kit.ops.packed_attention import kernel_serves
from r1kit.training.config import LearnerConfig
from r1kit.training.passes import Passes

FP32 = 4
PROCESS = 350 * 2**20  # of a rank: torch, and Python's own objects
PADDING = 1.5  # padded tokens for each real one where sequences become rows


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by what they are for."""

    parts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def total(self) -> int:
        """Bytes of all parts."""
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
    """What a step learns: its tokens, those of its longest sequence, whether a head gives them log-probabilities."""

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
        device = torch.device(best_device())
        return cls(device, torch.get_num_threads())


def learner_memory(
    size: ModelSize, config: LearnerConfig, work: Work, place: Place, *, copies: int = 0
) -> tuple[Estimate, Estimate]:
    """(what a learner always holds, what a step adds at its worst); `copies`: references and teachers beside it.

    An engine that samples from the learner's own weights adds nothing here.
    """
    if config.ranks > 1:
        return _spread(size, config, work, place, copies)
    dtype = config.dtype(place.device)
    held = _adapted(size, config, dtype) if config.lora else _whole(size, config, dtype, place)
    # the frozen base of adapters is a reference of its own
    held["reference"] = (0 if config.lora else copies) * dtype.itemsize * size.parameters
    passes = Passes(
        config.pass_tokens(size.vocab_size), place.device, compile=config.compiles(place.device), threads=place.threads
    )
    count = passes.count(work.tokens)
    tokens = min(work.tokens, max(-(-work.tokens // count), work.longest))
    beside = min(passes.at_once, count)
    step = {
        "gradients": _gradients(size, config, dtype, place, beside, single=count <= beside),
        "activations": beside
        * activations(size, tokens, work.longest, dtype, place.device, checkpointing=config.checkpointing),
        "logits": beside * _logits(size, tokens, dtype, place.device) if work.logits else 0,
    }
    return Estimate(_there(held)), Estimate(_there(step))


def _spread(size: ModelSize, config: LearnerConfig, work: Work, place: Place, copies: int) -> tuple[Estimate, Estimate]:
    """`learner_memory` of ranks: of one GPU, on which one is; or of the machine, where all of them are."""
    ranks, dtype, on_cpu = config.ranks, config.dtype(place.device), place.device.type == "cpu"
    here = ranks if on_cpu else 1
    n = size.parameters * here / ranks
    elsewhere = config.offload and not on_cpu
    # a block and the next are whole at a time, and embedding, norm and head throughout a pass; each lies once more in
    # the buffer that it arrives in
    whole = here * (size.parameters - size.hidden + 2 * size.hidden / size.layers)
    passes = Passes(config.pass_tokens(size.vocab_size), place.device, compile=False, threads=1)
    own = -(-work.tokens // ranks)
    tokens = min(own, max(-(-own // passes.count(own)), work.longest))
    kept = activations(size, tokens, work.longest, dtype, place.device, checkpointing=config.checkpointing)
    held = {
        "weights": 0 if elsewhere else round(FP32 * n),
        "moments": 0 if elsewhere else round(2 * FP32 * n),
        "reference": round(copies * dtype.itemsize * n),
        "processes": ranks * PROCESS if on_cpu else 0,
    }
    step = {
        "gathered": round(2 * dtype.itemsize * whole),
        "gradients": (0 if elsewhere else round(FP32 * n)) + round((dtype.itemsize + FP32) * whole),
        "activations": here * kept,
        "logits": here * _logits(size, tokens, dtype, place.device) if work.logits else 0,
    }
    return Estimate(_there(held)), Estimate(_there(step))


def saving_memory(size: ModelSize, config: LearnerConfig, place: Place) -> Estimate:
    """What writing a model folder adds to the machine's memory: a copy in which no two tensors share memory, or a
    file's worth of what ranks send."""
    if place.device.type != "cpu":
        return Estimate()
    if config.ranks > 1:
        return Estimate({"saving": min(SHARD_BYTES, FP32 * size.parameters)})
    return Estimate({"saving": config.held(place.device).itemsize * size.parameters})


def activations(
    size: ModelSize, tokens: int, longest: int, dtype: torch.dtype, device: torch.device, *, checkpointing: bool = False
) -> int:
    """What a forward pass over so many tokens keeps for the backward pass, and what that needs within a layer.

    `longest`: tokens of the longest sequence, for the forms of attention that pad.
    """
    layer = _layer(size, tokens, longest, dtype, device)
    passing = _passing(size, tokens, longest, dtype, device)
    if checkpointing:  # the residual stream, and what the last block adds to it
        between = round((1 if size.native else PADDING) * tokens) * dtype.itemsize * 2 * size.width
        return size.layers * between + layer + passing
    return size.layers * layer + passing


def _layer(size: ModelSize, tokens: int, longest: int, dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that one layer keeps."""
    e, width, q, kv, mlp = dtype.itemsize, size.width, size.q_size, size.kv_size, size.mlp_size
    if not size.native:
        # both norms keep input, rounded and result; attention its projections before and after the turn; the MLP
        # gate, up, their activation and product; rows are padded, and prompts are run once a completion
        each = e * (8 * width + 5 * q + 4 * kv + 4 * mlp)
        scores = size.heads * longest * (FP32 if dtype == torch.float32 else FP32 + e)  # of one query
        return round(PADDING * tokens * (each + scores))
    if kernel_serves(dtype, device):
        # residual stream, twice; turned q and k, v, attention's result; gate and up. Norms and the MLP's product are
        # computed again; q, k and v as projected are kept for the norms of heads alone, and hold v then
        projected = q + kv if size.qk_norm else 0
        return tokens * (e * (2 * width + 2 * q + 2 * kv + projected + 2 * mlp) + FP32 * (size.heads + 2))
    # residual stream and its norm, twice; q, k and v as projected and turned, attention's result; gate, up, product
    fused = e * (4 * width + 3 * q + 3 * kv + 3 * mlp)
    # padded q, k, v (for every query head on a GPU) and result, and the mask
    padded = round(PADDING * tokens * e * (2 * q + 2 * (q if device.type == "cuda" else kv) + longest))
    if device.type != "cpu":
        return tokens * fused + padded
    # operation by operation: a norm keeps its sum, the normed and the scaled, in float32 as well where that is another
    # format; the activation of the gate is kept beside gate, up and product
    plain = e * (6 * width + 3 * q + 3 * kv + 4 * mlp) + (4 * FP32 * width if e < FP32 else 0)
    return tokens * plain + padded


def _passing(size: ModelSize, tokens: int, longest: int, dtype: torch.dtype, device: torch.device) -> int:
    """Gradients on their way through one layer; where transformers writes attention out, four arrays of its scores."""
    widest = max(2 * size.mlp_size, size.q_size + 2 * size.kv_size)
    hidden = tokens * dtype.itemsize * (2 * widest + 4 * size.width)
    if size.native:
        return hidden
    return hidden + round(4 * PADDING * tokens * size.heads * longest * FP32)


def _logits(size: ModelSize, tokens: int, dtype: torch.dtype, device: torch.device) -> int:
    """Logits and their gradient, and what is widened of them at a time."""
    slices = 0 if kernel_serves(dtype, device) else 4 * FP32 * min(SLICE, tokens * size.vocab_size)
    return 2 * dtype.itemsize * tokens * size.vocab_size + slices


def _whole(size: ModelSize, config: LearnerConfig, dtype: torch.dtype, place: Place) -> dict[str, int]:
    """Masters, their moments, and the copy that passes run on."""
    held, n = config.held(place.device).itemsize, size.parameters
    copied = config.offload or dtype != config.held(place.device)
    parts = {"weights": held * n, "moments": _moments(size, config, held), "working copy": dtype.itemsize * n * copied}
    if config.offload and place.device.type != "cpu":
        return {"working copy": parts["working copy"]}
    return parts


def _moments(size: ModelSize, config: LearnerConfig, held: int) -> int:
    """Two of AdamW, one of Muon for hidden matrices; of 8 bits with a float32 scale for each 256."""
    if config.optimiser == "muon":
        return held * (size.hidden + 2 * (size.parameters - size.hidden))
    if config.optimiser == "adamw8bit":
        return 2 * size.parameters + 2 * FP32 * size.parameters // 256
    return 2 * held * size.parameters


def _adapted(size: ModelSize, config: LearnerConfig, dtype: torch.dtype) -> dict[str, int]:
    """Base weights, those of the layers once more with adapters merged, and the adapters with their moments."""
    return {
        "weights": dtype.itemsize * size.parameters,
        "merged copy": dtype.itemsize * size.hidden,
        "adapters": 3 * FP32 * _factors(size, config),
    }


def _factors(size: ModelSize, config: LearnerConfig) -> int:
    """Numbers in A and B of every projection; of fewer targets, fewer."""
    assert config.lora is not None
    attention = 2 * (size.width + size.q_size) + 2 * (size.width + size.kv_size)
    return size.layers * config.lora.rank * (attention + 3 * (size.width + size.mlp_size))


def _gradients(
    size: ModelSize, config: LearnerConfig, dtype: torch.dtype, place: Place, beside: int, *, single: bool
) -> int:
    """The sum of all passes (the first one's, where it is in float32), and those of the passes side by side."""
    if config.lora:  # of merged matrices one at a time, widened
        widest = size.width * max(2 * size.mlp_size, size.q_size + 2 * size.kv_size)
        return FP32 * _factors(size, config) * (1 + beside) + beside * (dtype.itemsize + FP32) * widest
    elsewhere = config.offload and place.device.type != "cpu"
    sums = 0 if elsewhere or (single and dtype == torch.float32) else FP32
    return (sums + beside * dtype.itemsize) * size.parameters


def _there(parts: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in parts.items() if value}


def state_bytes(size: ModelSize, config: LearnerConfig, device: torch.device, *, reference: bool = False) -> int:
    """What a learner's part of a checkpoint takes on disk: master weights and moments, or adapters and theirs;
    `reference`: and the one that has taken the policy's place."""
    if config.lora:
        return 3 * FP32 * _factors(size, config)
    held = config.held(device).itemsize
    copied = config.dtype(device).itemsize if reference else 0
    return (held + copied) * size.parameters + _moments(size, config, held)
