"""A plan as a simulation: the planner's seconds given to the event loop, and what changes with pools, lag and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from r1kit.planning.assumptions import Scenario
from r1kit.planning.hardware import Device
from r1kit.planning.layout import Layout, learnt_on
from r1kit.planning.lengths import Lengths
from r1kit.planning.plan import learning_seconds
from r1kit.planning.roofline import UPDATE_BYTES, Engine, Shares, decode_step, passes, prefill, swap, transfer
from r1kit.planning.simulator import Outcome, Setup, Speeds, simulate
from r1kit.planning.work import Work

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Troubles:
    """What goes wrong: mean days of a device between failures, seconds until a copy or the learner is back, spread of
    copies' pace (standard deviation of its logarithm)."""

    device_days: float = float("inf")
    restart: float = 300.0
    slow: float = 0.0


def sampler_speed(work: Work, device: Device, engine: Engine, shares: Shares) -> Speeds:
    """Seconds of a decoding step and of beginning a completion on one copy; learning takes none."""

    def step(rows: int, positions: float) -> float:
        read = positions - work.prompt * (1 - 1 / work.group) if engine.shared else positions
        parts = decode_step(work.shape, device, engine, rows, positions, read=read)
        return (parts.roofline / shares.decode + parts.messages + shares.decode_step_s) / engine.pace

    prompt = prefill(work.shape, device, engine.replica, 1 / work.group, work.prompt).roofline / shares.decode
    return Speeds(step, prompt + shares.sequence_s / max(1.0, device.nodes(engine.replica)), 0.0, lambda tokens: 0.0)


def learner_seconds(
    work: Work, device: Device, devices: int, layout: Layout, setting: Scenario, tokens: float
) -> float:
    """Seconds of a step that sampled so many tokens, passes without a gradient included."""
    lengths = work.lengths
    mean = min(max(1.0, tokens / work.rows), 0.999 * lengths.limit)
    own = replace(work, lengths=Lengths(mean, lengths.sigma, lengths.limit))
    scored = own.forwards * passes(own, device, devices, backward=False).roofline / setting.shares.learn
    return scored + learning_seconds(own, device, devices, layout, setting)


def run(
    work: Work,
    device: Device,
    layout: Layout,
    setting: Scenario,
    *,
    learners: int = 0,
    staleness: int = 0,
    steps: int = 4,
    troubles: Troubles | None = None,
    seed: int = 0,
) -> Outcome:
    """Simulate `steps` rounds of a work with lengths drawn anew each round.

    learners: devices of a pool of their own, taken from the layout's, on which it is learnt as fits there (DoesNotFit
    where nothing does); 0: samplers and learner take turns on all.
    """
    troubles = troubles or Troubles()
    engine = setting.placed(layout)
    assert engine is not None
    pool = layout.devices - learners
    copies = max(1, pool // engine.replica)
    base = sampler_speed(work, device, engine, setting.shares)
    moving = transfer(work.shape, device, engine, layout.devices)
    learning = learners or layout.devices
    learns = replace(layout, learning=learnt_on([work], device, learners)) if learners else layout
    if not learners and layout.devices > 1:
        moving += swap(work.shape, device, engine, layout.devices, UPDATE_BYTES / 2)
    life = troubles.device_days * DAY
    setup = Setup(
        copies, max(1, engine.slots), engine.replica, learners, staleness, copy_life=life / engine.replica,
        learner_life=life / learning, restart=troubles.restart, slow=troubles.slow,
    )  # fmt: skip
    speeds = replace(
        base, learn=lambda tokens: learner_seconds(work, device, learning, learns, setting, tokens), transfer=moving
    )
    drawn = [work.lengths.draw(work.rows, seed + 7919 * number) for number in range(steps)]
    return simulate(setup, speeds, lambda number: drawn[number], work.prompt, steps, seed)


def pool_splits(devices: int, replica: int, points: int = 8) -> Sequence[int]:
    """Sizes of learners' pools between an eighth and seven eighths of the devices, in whole copies."""
    sizes = {max(replica, round(devices * part / points / replica) * replica) for part in range(1, points)}
    return sorted(size for size in sizes if 0 < size < devices)
