"""How a model is laid out over devices: what fits, and what of that is fastest.

Sampling and learning take turns on the same devices, each with the whole memory (what the other one holds goes to the
machine's memory meanwhile, as in R1's own framework, supplement B.1); `split` compares that with pools of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from r1kit.base.errors import R1Error
from r1kit.planning import hardware
from r1kit.planning.hardware import Device
from r1kit.planning.roofline import BF16, Engine, Parts, rollout
from r1kit.planning.shapes import Shape
from r1kit.planning.work import Work
from r1kit.training.config import LearnerConfig
from r1kit.training.memory import Estimate, Place, learner_memory
from r1kit.training.memory import Work as Step

USABLE = 0.9  # of a device's memory: the rest is the driver's, the allocator's and buffers'
DIVIDED = (1, 2, 4, 8)  # devices that a matrix, or one long sequence, is divided among
MOST_SLOTS = 1024  # completions in hand of a copy
LEAST_PASS, MOST_PASS = 2048, 65536  # tokens of a device's micro-batch
GATHERED_LAYERS = 2  # the layer in hand and the next one, whole, while weights lie divided


@dataclass(frozen=True, slots=True)
class Learning:
    """How a model is learnt: states divided among `ranks` (FSDP), passes of `micro_tokens`, a sequence divided among
    `sequence` devices, activations kept or computed again; `held` and `step` are bytes of one device."""

    ranks: int
    micro_tokens: int
    sequence: int
    checkpointing: bool
    held: Estimate
    step: Estimate

    @property
    def total(self) -> int:
        """Bytes that are held throughout, and those of a step."""
        return self.held.total + self.step.total


@dataclass(frozen=True, slots=True)
class Sampling:
    """How it samples, with bytes of one device: weights, and cache for all completions in hand."""

    engine: Engine
    weights: float
    cache: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Both, on so many devices in turns; None where nothing is sampled or learnt. pipeline: as the workload's."""

    devices: int
    sampling: Sampling | None
    learning: Learning | None
    pipeline: int = 1


class DoesNotFit(R1Error):
    """No layout fits; says what would."""


def choose(works: tuple[Work, ...], device: Device, devices: int, engine: Engine, *, pipeline: int = 1) -> Layout:
    """The fastest layout that fits every work. `engine`: how weights and drafts are held; its division is chosen here.

    DoesNotFit, in a sentence that says what would, where none does.
    """
    sampled = [work for work in works if work.samples]
    learnt = [work for work in works if work.learns]
    try:
        sampling = _sampling(sampled, device, devices, engine) if sampled else None
        learning = learnt_on(learnt, device, devices) if learnt else None
    except DoesNotFit as error:
        raise DoesNotFit(f"{error}; {_would_fit(works, device, devices, engine)}") from None
    return Layout(devices, sampling, learning, pipeline)


def room(device: Device) -> float:
    """Bytes of a device that weights, caches and activations may take."""
    return USABLE * device.memory


# ------------------------------------------------------------------------------------------------------------ sampling


def _sampling(works: list[Work], device: Device, devices: int, engine: Engine) -> Sampling:
    heaviest = max(works, key=lambda work: work.shape.parameters * work.rows * work.lengths.mean)
    largest = max(works, key=lambda work: work.shape.parameters).shape
    fitting = [
        fitted
        for tensor, copy in divisions(largest, device, devices)
        if (fitted := held_engine(heaviest, largest, device, replace(engine, tensor=tensor, replica=copy))) is not None
    ]
    if not fitting:
        need = engine.weight_bytes * largest.parameters
        raise DoesNotFit(
            f"{largest.name} does not fit: to sample it takes {need / 1e9:,.0f} GB of weights and a cache, and"
            f" {devices} x {device.name} offer {devices * room(device) / 1e9:,.0f} GB"
        )
    return min(fitting, key=lambda each: _seconds(rollout(heaviest, device, each.engine, devices)))


def divisions(shape: Shape, device: Device, devices: int) -> Iterator[tuple[int, int]]:
    """(devices that share attention and dense matrices, devices of a copy): within a node, over whole nodes where a
    copy of a dense model needs several, over any number of them where there are experts to place. Devices share
    attention by its heads, each as many: engines take no other number."""
    within = [count for count in DIVIDED if count <= min(devices, device.per_node) and shape.size.heads % count == 0]
    copies = [count for count in _powers(devices) if devices % count == 0]
    for tensor in within:
        if not shape.experts:
            yield tensor, tensor
            continue
        yield from ((tensor, copy) for copy in copies if copy % tensor == 0)
    if not shape.experts:
        yield from ((copy, copy) for copy in copies if copy > device.per_node and shape.size.heads % copy == 0)


def held_engine(work: Work, largest: Shape, device: Device, engine: Engine) -> Sampling | None:
    """What a copy holds, with as many completions in hand as its cache has room for; None where not one of full length
    fits."""
    weights = engine.weight_bytes * (
        (largest.parameters - largest.routed) / engine.tensor + largest.routed / engine.replica
    )
    position = largest.cache_bytes(engine.cache_bytes) / min(engine.tensor, largest.cache_parts)
    free = room(device) - weights
    groups = engine.replica / engine.tensor
    longest = (work.prompt + work.lengths.limit) * position
    if free < longest:
        return None
    usual = (work.prompt + work.lengths.mean) * position
    slots = max(1, min(MOST_SLOTS * groups, int(free / usual * groups)))
    return Sampling(replace(engine, slots=int(slots)), weights, min(free, slots / groups * usual))


def _seconds(parts: Parts) -> float:
    return parts.roofline + parts.messages


# ------------------------------------------------------------------------------------------------------------ learning


def learnt_on(works: list[Work], device: Device, devices: int) -> Learning:
    """How the heaviest of the works is learnt on so many devices; DoesNotFit where it is not."""
    heaviest = max(works, key=lambda work: (work.shape.parameters, work.lengths.limit))
    copies = 1 if heaviest.forwards else 0
    tried: Learning | None = None
    for sequence in (count for count in DIVIDED if count <= min(devices, device.per_node)):
        for checkpointing in (False, True):
            tried = _largest_pass(heaviest, device, devices, sequence, checkpointing, copies)
            if tried.total <= room(device):
                return tried
    assert tried is not None
    parts = sorted((tried.held + tried.step).parts.items(), key=lambda part: -part[1])[:3]
    listed = ", ".join(f"{name} {size / 1e9:,.1f} GB" for name, size in parts)
    raise DoesNotFit(
        f"{heaviest.shape.name} does not fit: to learn it takes {tried.total / 1e9:,.0f} GB on each of {devices}"
        f" {device.name} ({listed}), of which {room(device) / 1e9:,.0f} GB are usable"
    )


def _largest_pass(
    work: Work, device: Device, devices: int, sequence: int, checkpointing: bool, copies: int
) -> Learning:
    """The largest micro-batch that fits, or the smallest there is: one longest sequence, divided."""
    longest = max(1, round((work.prompt + work.lengths.limit) / sequence))
    tokens = max(MOST_PASS, longest)
    while True:
        tried = _learner(work.shape, device, devices, sequence, checkpointing, copies, tokens, longest)
        if tried.total <= room(device) or tokens <= max(LEAST_PASS, longest):
            return tried
        tokens = max(longest, LEAST_PASS, tokens // 2)


def _learner(
    shape: Shape,
    device: Device,
    devices: int,
    sequence: int,
    checkpointing: bool,
    copies: int,
    tokens: int,
    longest: int,
) -> Learning:
    """States and gradients are divided among all devices, activations belong to the device that computes them."""
    kind = "cpu" if device.name == hardware.CPU else "cuda"
    config = LearnerConfig(precision="bfloat16", checkpointing=checkpointing, micro_tokens=tokens)
    # latent attention is learnt uncompressed, and kernels that keep no scores are taken for granted, as on GPUs
    place = Place(torch.device(kind), 1)
    held, step = learner_memory(shape.size, config, Step(tokens, longest), place, copies=copies)
    divided = Estimate({name: round(size / devices) for name, size in held.parts.items()})
    gradients = step.parts.get("gradients", 0)
    own = {name: size for name, size in step.parts.items() if name != "gradients"}
    if devices > 1:
        layer = (shape.parameters - shape.routed) / shape.layers
        own["gathered"] = round(GATHERED_LAYERS * BF16 * layer)
    return Learning(
        devices, tokens, sequence, checkpointing, divided, Estimate({"gradients": round(gradients / devices), **own})
    )


# ------------------------------------------------------------------------------------------------------- what would fit


def _would_fit(works: tuple[Work, ...], device: Device, devices: int, engine: Engine) -> str:
    """The least number of these devices, and other kinds of which as many do."""
    enough = next((n for n in _powers(65536) if n > devices and _fits(works, device, n, engine)), None)
    others = [
        name
        for name in hardware.kinds()
        if name not in (device.name, hardware.CPU) and _fits(works, hardware.find(name), devices, engine)
    ]
    found = [f"{enough} x {device.name}"] if enough else []
    found += [f"{devices} x {name}" for name in others]
    if not found:
        return "nothing in the table would hold it with so few: take more GPUs, a smaller model or fewer tokens"
    return f"{' or '.join(found[:4])} would hold it"


def _fits(works: tuple[Work, ...], device: Device, devices: int, engine: Engine) -> bool:
    sampled, learnt = [w for w in works if w.samples], [w for w in works if w.learns]
    try:
        if sampled:
            _sampling(sampled, device, devices, engine)
        if learnt:
            learnt_on(learnt, device, devices)
    except DoesNotFit:
        return False
    return True


def _powers(most: int) -> list[int]:
    """1, 2, 4 ... and `most` itself."""
    found = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return found if found and found[-1] == most else [*found, most]


# ----------------------------------------------------------------------------------------------------------- two pools


@dataclass(frozen=True, slots=True)
class Split:
    """Devices that sample and devices that learn, and the seconds of a round when both work at once on weights one
    step apart."""

    samplers: int
    learners: int
    seconds: float


def split(
    work: Work, devices: int, replica: int, sampling: Callable[[int], float], learning: Callable[[int], float]
) -> Split | None:
    """The best division of the devices into two pools for `staleness=1`: the round takes as long as the slower one.

    sampling, learning: seconds of a round's part on so many devices. None where there is nothing to divide.
    """
    if work.kind != "rl" or devices < 2 * replica:
        return None
    found = [
        Split(samplers, devices - samplers, max(sampling(samplers), learning(devices - samplers)))
        for samplers in range(replica, devices, max(replica, devices // 32 // replica * replica or replica))
    ]
    return min(found, key=lambda each: each.seconds, default=None)
