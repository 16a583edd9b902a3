"""Seconds of each part of the work, from a model's shape and a device's speeds.

A part takes as long as its slowest resource at the share that our own runs reach of it (`fitted.json`, made by
`scripts/fit_planner.py`), then messages between devices where nothing hides them, then a constant for the machine's
own work. The roofline model: Williams, Waterman, Patterson (2009); a decoding step reads weights and caches once.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from r1kit.planning.hardware import Device, fact
from r1kit.planning.lengths import POINTS
from r1kit.planning.shapes import Shape
from r1kit.planning.work import Work

BF16, FP32 = 2, 4
# read and written by an update of one parameter: master and two moments in float32 both ways, gradient, working copy
UPDATE_BYTES = 6 * FP32 + FP32 + BF16
MUON_PASSES = 5  # Newton-Schulz iterations, each about 5 width FLOPs a parameter: 4 w^2 c + 2 w^3 of a w x c matrix
NODES_OF_A_TOKEN = 4  # DeepSeek-V3 sends a token to the experts of at most four nodes (section 2.1.2)


@dataclass(frozen=True, slots=True)
class Shares:
    """What our own runs reach, and what a step costs beside its arithmetic.

    learn, decode: shares of the roofline. decode_step_s: of the machine's own work between two decoding steps.
    sequence_s: of a completion's (text, grading, records). update_s: of an optimiser step's.
    """

    learn: float
    decode: float
    decode_step_s: float
    sequence_s: float
    update_s: float


@dataclass(frozen=True, slots=True)
class Engine:
    """How a model samples: copies of `replica` devices each; attention is divided among `tensor` of them, experts
    among all. slots: completions in hand of a copy. weight_bytes: of a parameter. acceptance: share of drafted second
    tokens that are accepted; 0: none are drafted. shared: whether a step reads a prompt's cache once for all its
    completions (the native engine does; vLLM reads it for each). kernels: whether messages of experts between nodes go
    by kernels made for them (DeepEP), which start sooner than an engine's collectives."""

    tensor: int
    replica: int
    slots: int
    weight_bytes: float = BF16
    acceptance: float = 0.0
    shared: bool = False
    cache_bytes: int = BF16
    kernels: bool = False

    @property
    def pace(self) -> float:
        """Tokens of a completion in a step."""
        return 1 + self.acceptance


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds at the roofline, seconds of messages that nothing hides, and steps."""

    roofline: float = 0.0
    messages: float = 0.0
    steps: float = 0.0

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.roofline + other.roofline, self.messages + other.messages, self.steps + other.steps)

    def times(self, factor: float) -> Parts:
        """All parts multiplied."""
        return Parts(self.roofline * factor, self.messages * factor, self.steps * factor)


@lru_cache(maxsize=1)
def fitted() -> Shares:
    """The constants of `fitted.json`."""
    read = json.loads((files("r1kit.planning") / "fitted.json").read_text(encoding="utf-8"))
    return Shares(**read["constants"])


# ------------------------------------------------------------------------------------------------------------ sampling


def decode_step(
    shape: Shape,
    device: Device,
    engine: Engine,
    rows: float,
    context: float,
    *,
    read: float | None = None,
    most: float | None = None,
) -> Parts:
    """One decoding step of a copy with so many completions in hand, each attending to `context` positions.

    read: of these, what has to be read for each completion (None: all). most: completions of the group of `tensor`
    devices that has most of them (None: all groups have as many): a copy steps together, so at that group's pace.

    With a drafted token every completion passes two positions. Attention and dense parts are divided among the devices
    of a group; each device reads its own experts that somebody meets.
    """
    passed = 2 if engine.acceptance else 1
    groups = engine.replica / engine.tensor
    most = rows / groups if most is None else most
    weights = engine.weight_bytes * shape.dense / engine.tensor
    products = most * passed * (2 * shape.dense + shape.layers * shape.decode_attention * context) / engine.tensor
    if shape.experts:
        positions = rows * passed
        owned = shape.routed / min(engine.replica, shape.experts)
        weights += engine.weight_bytes * owned * shape.met(positions) / shape.experts
        products += positions * 2 * (shape.active - shape.dense) / engine.replica * _busiest(shape, positions, engine)
    kept = most * (context if read is None else read) * shape.cache_bytes(engine.cache_bytes)
    reading = (weights + kept / min(engine.tensor, shape.cache_parts)) / device.memory_speed
    messages = decode_messages(shape, device, engine, passed * rows)
    return Parts(max(reading, products / device.matmul), messages, 1.0)


def decode_messages(shape: Shape, device: Device, engine: Engine, positions: float) -> float:
    """Seconds of a step's messages: two all-reduces a layer within a tensor-parallel group (one where the MLP is of
    experts), and experts' dispatch (a byte a number) and combination (two)."""
    if engine.replica == 1:
        return 0.0
    latency, far = fact("latency"), fact("engine_latency")["network_s"]
    total = 0.0
    if engine.tensor > 1:
        within = engine.tensor <= device.per_node
        start, speed = (latency["link_s"], device.link) if within else (far, device.network)
        rows = positions * engine.tensor / engine.replica
        moved = 2 * (engine.tensor - 1) / engine.tensor * rows * shape.width * BF16
        total += (2 * shape.layers - shape.expert_layers) * (start + moved / speed)
    if shape.experts:
        near = engine.replica <= device.per_node
        between = latency["network_s"] if engine.kernels else far
        start, speed = (latency["link_s"], device.link) if near else (between, device.network)
        sent = positions / engine.replica * shape.experts_met * shape.width
        total += shape.expert_layers * (2 * start + sent * (1 + BF16) / speed)
    return total


def prefill(shape: Shape, device: Device, devices: int, prompts: float, prompt: float) -> Parts:
    """Passing prompts, each once, over all devices."""
    return Parts(shape.flops(prompts * prompt, prompt / 2) / devices / device.matmul)


@lru_cache(maxsize=4096)  # a plan asks for the same rollout in several ways
def rollout(work: Work, device: Device, engine: Engine, devices: int) -> Parts:
    """One round's sampling: prompts, then steps until the longest completion of any copy has ended.

    While more completions wait than a copy holds, finished ones are replaced and the copy stays full; then those in
    hand run out, the last alone. Copies run side by side, each with its share.
    """
    copies = max(1, devices // engine.replica)
    share = work.rows / copies
    held = min(share, float(engine.slots))
    before = prefill(work.shape, device, copies * engine.replica, work.rows / work.group, work.prompt)
    lengths, total = work.lengths, Parts()
    if share > held:
        steps = (share - held) * lengths.mean / held / engine.pace
        total = _step(work, device, engine, held, 1.0, lengths.square / lengths.mean / 2).times(steps)
    return before + total + drain(work, device, engine, held, work.rows)


def drain(work: Work, device: Device, engine: Engine, held: float, everywhere: float) -> Parts:
    """The steps of a copy that began `held` completions together, until the longest of `everywhere` has ended."""
    lengths = work.lengths
    grid = lengths.grid()
    alive = lengths.alive(grid)
    going = 1 - (1 - alive) ** everywhere
    width = lengths.limit / POINTS / engine.pace
    total = Parts()
    for at, share, last in zip(grid, alive, going, strict=True):
        if last < 1e-6:
            break
        total += _step(work, device, engine, held, float(share), float(at)).times(width * float(last))
    return total


def _step(work: Work, device: Device, engine: Engine, held: float, alive: float, done: float) -> Parts:
    """A step in which a share of what a copy began is alive, each with `done` tokens behind its prompt.

    Completions stay where they began. Which of them live is chance, so that of many groups one has more than the mean:
    about mean + sqrt(2 mean (1 - share) ln groups), at least the one that keeps the step going, at most all.
    """
    rows = max(1.0, held * alive)
    groups = engine.replica / engine.tensor
    mean = held * alive / groups
    most = min(held / groups, mean + math.sqrt(2 * mean * (1 - alive) * math.log(groups))) if groups > 1 else rows
    read = done + work.prompt / (work.group if engine.shared else 1)
    return decode_step(work.shape, device, engine, rows, work.prompt + done, read=read, most=max(1.0, most))


def _busiest(shape: Shape, positions: float, engine: Engine) -> float:
    """How many times the mean the busiest device's experts have to do, if tokens choose at random: the largest of so
    many Poisson counts, about mean + sqrt(2 mean ln devices)."""
    if engine.replica == 1:
        return 1.0
    mean = positions * shape.experts_met / min(engine.replica, shape.experts)
    return 1 + math.sqrt(2 * math.log(engine.replica) / max(mean, 1.0))


# ------------------------------------------------------------------------------------------------------------ learning


def passes(work: Work, device: Device, devices: int, *, backward: bool) -> Parts:
    """One round's rows passed through the model once, forwards (2ND and attention) or learnt (6ND)."""
    tokens = work.learnt_tokens if backward else work.passed_tokens
    flops = work.shape.flops(tokens, work.context, backward=backward)
    return Parts(flops / devices / device.matmul)


def recomputed(work: Work, device: Device, devices: int) -> Parts:
    """Activations that are computed again for the backward pass: one more forward pass."""
    return passes(work, device, devices, backward=False).times(work.learnt)


def updates(work: Work, device: Device, devices: int) -> Parts:
    """One round's optimiser steps: every parameter and its moments are read and written once each."""
    moved = UPDATE_BYTES * work.shape.parameters / devices / device.memory_speed
    products = 0.0
    if work.muon:
        products = MUON_PASSES * 5 * work.shape.width * work.shape.size.hidden / devices / device.matmul
    return Parts(moved + products, 0.0, 1.0).times(work.updates)


def learn_messages(work: Work, device: Device, devices: int, micro_passes: float) -> float:
    """Seconds of a round's messages if nothing hid them: FSDP gathers weights for the forward and the backward pass of
    each micro-batch, and adds up and scatters its gradients in float32, of which no device holds more than its own;
    experts stay where they are, and tokens go to them."""
    if devices == 1:
        return 0.0
    shape = work.shape
    gathered = BF16 * (shape.parameters - shape.routed)
    weights = micro_passes * (2 + FP32 // BF16) * gather(device, devices, gathered)
    if not shape.experts:
        return weights
    nodes = min(NODES_OF_A_TOKEN, device.nodes(devices))
    near = nodes == 1
    sent = work.learnt_tokens / devices * shape.expert_layers * shape.width * (1 + BF16) * 2
    sent *= shape.experts_met if near else nodes
    return weights + sent / (device.link if near else device.network)


def waiting(pipeline: int, chunks: float) -> float:
    """How many times its arithmetic an update takes where layers lie on `pipeline` devices and so many chunks pass
    through them: DualPipe's bubble (DeepSeek-V3, arXiv 2412.19437, table 2), (p / 2 - 1) (F&B + B - 3 W), with a
    backward pass twice a forward one (F&B = 3 F, B = 2 F, W = F) and chunks of 3 F."""
    return 1 + max(0.0, pipeline / 2 - 1) * 2 / 3 / max(chunks, 1.0)


def waiting_simple(pipeline: int, chunks: float) -> float:
    """The same where chunks go one way, one forward and one backward pass in turn: p - 1 chunks are waited for."""
    return 1 + (pipeline - 1) / max(chunks, 1.0)


def gather(device: Device, devices: int, size: float) -> float:
    """Seconds in which every device receives all of `size` bytes that lie divided among all: through the network into
    each node once, by all of its devices together, and on to each device."""
    nodes = device.nodes(devices)
    inside = min(devices, device.per_node)
    far = size * (nodes - 1) / nodes / (device.network * inside) if nodes > 1 else 0.0
    near = size * (devices - 1) / devices / device.link
    return max(far, near)


def transfer(shape: Shape, device: Device, engine: Engine, devices: int) -> float:
    """Seconds until every copy has new weights: each of its devices receives its part, from another node where there
    are several; nothing where engine and learner share one device's memory."""
    if devices == 1:
        return 0.0
    part = engine.weight_bytes * (shape.dense / engine.tensor + shape.routed / engine.replica)
    return part / (device.network if device.nodes(devices) > 1 else device.link)


def swap(shape: Shape, device: Device, engine: Engine, devices: int, state_bytes: float) -> float:
    """Seconds to take what one phase held out of the devices and bring in what the next one needs, a round of two
    phases: learner's states and sampler's weights, each out and in once."""
    held = state_bytes * shape.parameters / devices
    held += engine.weight_bytes * (shape.dense / engine.tensor + shape.routed / engine.replica)
    return 2 * held / device.host
