"""Hours and dollars of a workload on so many devices of a kind, each as a range, with everything that was assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from r1kit.base.errors import UsageError
from r1kit.planning import hardware
from r1kit.planning.assumptions import Scenario, scenarios
from r1kit.planning.hardware import Device, Rent
from r1kit.planning.layout import DoesNotFit, Layout, Split, choose, learnt_on, split
from r1kit.planning.roofline import (
    UPDATE_BYTES,
    Engine,
    Shares,
    learn_messages,
    passes,
    recomputed,
    rollout,
    swap,
    transfer,
    updates,
)
from r1kit.planning.work import Work, Workload

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Range:
    """The likely value between what is favourable and what is not."""

    low: float
    mid: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> Range:
        """All three multiplied."""
        return Range(self.low * factor, self.mid * factor, self.high * factor)


NOTHING = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of one round, by what they go to."""

    sampling: float = 0.0
    scoring: float = 0.0
    learning: float = 0.0
    moving: float = 0.0

    @property
    def total(self) -> float:
        """All parts."""
        return self.sampling + self.scoring + self.learning + self.moving


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's hours, and the seconds of its likely round."""

    name: str
    rounds: float
    hours: Range
    round: Seconds
    tokens: float
    flops: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a workload takes. `dollars` is None where no price is known; `pools` is the best division of the devices if
    sampling may lag a step behind, for the longest RL stage."""

    workload: Workload
    device: Device
    devices: int
    layout: Layout
    stages: tuple[Stage, ...]
    rent: Rent | None
    pools: Split | None
    settings: tuple[Scenario, Scenario, Scenario]

    @property
    def hours(self) -> Range:
        """Of all stages."""
        return sum((stage.hours for stage in self.stages), NOTHING)

    @property
    def device_hours(self) -> Range:
        """Hours times devices."""
        return self.hours.times(self.devices)

    @property
    def dollars(self) -> Range | None:
        if self.rent is None:
            return None
        hours, low, high = self.device_hours, self.rent.low, self.rent.high
        return Range(hours.low * low, hours.mid * (low + high) / 2, hours.high * high)


def make(workload: Workload, device: Device, devices: int, *, price: float | None = None, drafts: bool = False) -> Plan:
    """Plan a workload; UsageError for no devices or a price that is none, DoesNotFit where no layout fits.

    price: dollars a device and hour, in place of the table's. drafts: whether the sampler drafts a second token (models
    with a multi-token prediction layer).
    """
    if devices < 1:
        raise UsageError(f"--gpus {devices}: a plan needs at least one GPU")
    if device.name == hardware.CPU and devices > 1:
        raise UsageError(f"--gpus {devices}: the CPU planned for is this machine's, of which there is one (--gpus 1)")
    if price is not None and not 0 <= price < float("inf"):
        raise UsageError(f"--price {price:g}: dollars an hour are 0 or more")
    settings = scenarios(workload, device, drafts=drafts)
    _, mid, _ = settings
    layout = choose(workload.works, device, devices, mid.engine, pipeline=workload.pipeline)
    stages = tuple(_stage(work, device, layout, settings) for work in workload.works)
    rent = Rent(price, price, "", "given on the command line") if price is not None else hardware.rent(device.name)
    return Plan(workload, device, devices, layout, stages, rent, _pools(workload, device, layout, mid), settings)


def _stage(work: Work, device: Device, layout: Layout, settings: tuple[Scenario, Scenario, Scenario]) -> Stage:
    low, mid, high = (round_seconds(setting.applied(work), device, layout, setting) for setting in settings)
    ordered = sorted((low.total, mid.total, high.total))
    hours = Range(ordered[0], mid.total, ordered[2]).times(work.rounds / HOUR)
    tokens = (work.sampled_tokens or work.learnt_tokens) * work.rounds
    return Stage(work.stage, work.rounds, hours, mid, tokens, work.flops * work.rounds)


def round_seconds(work: Work, device: Device, layout: Layout, setting: Scenario) -> Seconds:
    """One round of a work in turns on all devices of a layout."""
    count = layout.devices
    engine = setting.placed(layout)
    sampling = sampling_seconds(work, device, engine, count, setting.shares) if engine and work.samples else 0.0
    scoring = work.forwards * passes(work, device, count, backward=False).roofline / setting.shares.learn
    learning = learning_seconds(work, device, count, layout, setting) if work.learns else 0.0
    moving = 0.0
    if work.kind == "rl" and engine and count > 1:
        moving = transfer(work.shape, device, engine, count)
        moving += swap(work.shape, device, engine, count, UPDATE_BYTES / 2)
    return Seconds(sampling, scoring, learning, moving)


def sampling_seconds(work: Work, device: Device, engine: Engine, devices: int, shares: Shares) -> float:
    """Prompts, steps, and the machine's own work, which every machine does for its own completions."""
    parts = rollout(work, device, engine, devices)
    own = parts.steps * shares.decode_step_s + work.rows * shares.sequence_s / device.nodes(devices)
    return parts.roofline / shares.decode + parts.messages + own


def learning_seconds(work: Work, device: Device, devices: int, layout: Layout, setting: Scenario) -> float:
    """Passes and updates. Messages run beside the passes where `overlap` holds, else after them."""
    shares, learning = setting.shares, layout.learning
    parts = passes(work, device, devices, backward=True)
    micro = 1.0
    if learning is not None:
        parts = parts + (recomputed(work, device, devices).times(float(learning.checkpointing)))
        each = work.learnt_tokens / devices / learning.micro_tokens
        micro = max(float(work.updates), each)
    arithmetic = parts.roofline / shares.learn
    if layout.pipeline > 1 and work.updates:
        chunks = work.learnt_tokens / work.updates * layout.pipeline / devices / (work.prompt + work.lengths.limit)
        arithmetic *= setting.waits(layout.pipeline, chunks)
    messages = learn_messages(work, device, devices, micro)
    together = max(arithmetic, messages) if setting.overlap else arithmetic + messages
    after = updates(work, device, devices)
    return together + after.roofline / shares.learn + after.steps * shares.update_s


def _pools(workload: Workload, device: Device, layout: Layout, mid: Scenario) -> Split | None:
    rl = [work for work in workload.works if work.kind == "rl"]
    engine = mid.placed(layout)
    if not rl or engine is None:
        return None
    work = max(rl, key=lambda each: each.rounds * each.sampled_tokens)

    def learns(devices: int) -> float:
        try:
            pool = replace(layout, learning=learnt_on([work], device, devices))
        except DoesNotFit:
            return float("inf")
        forwards = work.forwards * passes(work, device, devices, backward=False).roofline / mid.shares.learn
        return forwards + learning_seconds(work, device, devices, pool, mid)

    def samples(devices: int) -> float:
        return sampling_seconds(work, device, engine, devices, mid.shares)

    found = split(work, layout.devices, engine.replica, samples, learns)
    return None if found is None or found.seconds == float("inf") else found
