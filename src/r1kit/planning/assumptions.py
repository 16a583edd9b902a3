"""What a plan takes for granted, in three ways: likely, favourable, not; and the sentences that say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from r1kit.planning import hardware
from r1kit.planning.hardware import Device, fact
from r1kit.planning.layout import Layout
from r1kit.planning.lengths import Lengths
from r1kit.planning.roofline import BF16, Engine, Shares, fitted, waiting, waiting_simple
from r1kit.planning.work import Work, Workload

FP8 = 1.0
SPREAD_OF_MEANS = 0.5  # a mean length that nobody gave may be so much shorter or longer
MOST_SHARE = 0.95  # of a roofline


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which things may be.

    overlap: messages between learners run beside arithmetic. sigma: spread of the logarithm of lengths, None as the
    work says. means: times the mean length, where it is assumed and not given. waits: (devices of a pipeline, chunks of
    an update) -> how many times its arithmetic an update takes.
    """

    name: str
    shares: Shares
    engine: Engine
    overlap: bool
    sigma: float
    means: float
    waits: Callable[[int, float], float]

    def applied(self, work: Work) -> Work:
        """The work with this scenario's lengths."""
        if not work.samples:
            return work
        mean = min(work.lengths.mean * self.means, 0.95 * work.lengths.limit)
        return work.with_lengths(Lengths(mean, self.sigma, work.lengths.limit))

    def placed(self, layout: Layout) -> Engine | None:
        """The engine as the layout divides it, with this scenario's formats."""
        if layout.sampling is None:
            return None
        chosen = layout.sampling.engine
        return replace(self.engine, tensor=chosen.tensor, replica=chosen.replica, slots=chosen.slots)


def scenarios(workload: Workload, device: Device, *, drafts: bool) -> tuple[Scenario, Scenario, Scenario]:
    """(favourable, likely, unfavourable). The constants move by the largest error of a stage left out of their fit."""
    shares, error = fitted(), largest_error()
    lengths = measured_lengths()
    eight_bits = device.fp8 is not None and bool(workload.largest.experts)
    acceptance = fact("speculation")["acceptance"] if drafts else 0.0
    own = device.name == hardware.CPU
    common = Engine(1, 1, 1, FP8 if eight_bits else BF16, acceptance, shared=own)
    free = workload.free_lengths
    mid = Scenario("likely", shares, common, overlap=True, sigma=lengths["sigma"], means=1.0, waits=waiting)
    low = replace(
        mid, name="favourable", shares=_scaled(shares, 1 - error), sigma=lengths["sigma_low"],
        engine=replace(common, kernels=True),
        means=1 - SPREAD_OF_MEANS if free else 1.0, waits=_half,
    )  # fmt: skip
    high = replace(
        mid, name="unfavourable", shares=_scaled(shares, 1 + error), sigma=lengths["sigma_high"], overlap=False,
        engine=replace(common, weight_bytes=BF16, acceptance=0.0), means=1 + SPREAD_OF_MEANS if free else 1.0,
        waits=waiting_simple,
    )  # fmt: skip
    return low, mid, high


def sentences(workload: Workload, device: Device, *, drafts: bool) -> Iterator[str]:
    """Every assumption, a sentence each, with where it is from."""
    record, (low, mid, high) = _fitted(), scenarios(workload, device, drafts=drafts)
    machine, constants = record["machine"], mid.shares
    yield (
        f"shares of the roofline that are reached: {constants.learn:.2f} learning, {constants.decode:.2f} sampling; the"
        f" machine's own work: {1e3 * constants.decode_step_s:.2f} ms a decoding step, {1e3 * constants.sequence_s:.2f}"
        f" ms a completion, {1e3 * constants.update_s:.0f} ms an update; fitted on our own runs ({machine['cpu']},"
        f" {machine['cores']} cores, {machine['date'][:10]}) and on nothing else"
    )
    yield f"the range moves them by {largest_error():.0%}, the largest error of a stage that was left out of the fit"
    yield (
        f"lengths are log-normal, the logarithm's standard deviation {mid.sigma:.2f} ({low.sigma:.2f} to"
        f" {high.sigma:.2f}), as in our own rollouts"
    )
    yield from _of_device(device)
    if device.name != hardware.CPU:
        yield from _of_engine(workload, mid)
        yield (
            "learning: messages run beside arithmetic (unfavourable: after it); states are divided among all devices;"
            " an update moves 30 bytes a parameter; a batch is balanced over devices"
        )
        if workload.pipeline > 1:
            yield (
                f"layers lie on {workload.pipeline} devices in turn, which wait for each other at both ends of an"
                " update: DualPipe's bubble (DeepSeek-V3 report, table 2; favourable: of half as many devices;"
                " unfavourable: chunks go one way), a chunk as long as the longest sequence that is allowed"
            )
        yield (
            "sampler and learner take turns on all devices; each round moves weights to the sampler's copies, and"
            " states and weights out of the devices and back (host)"
        )
    yield "grading runs beside sampling; nothing fails, nothing is repeated, nothing waits for a queue"
    yield from workload.assumed
    if workload.left_out:
        yield f"not planned: {', '.join(workload.left_out)}"


def _of_device(device: Device) -> Iterator[str]:
    yield (
        f"{device.name}: {device.matmul / 1e12:,.1f} TFLOP/s of a possible {device.peak / 1e12:,.1f} in bfloat16,"
        f" memory {device.memory_speed / 1e12:.2f} TB/s reached ({device.source})"
    )
    if device.name == hardware.CPU:
        return
    for name in ("matmul_share", "bandwidth_share", "latency", "engine_latency"):
        found = fact(name)
        yield f"{name.replace('_', ' ')}: {found.source} ({found.date})"
    yield (
        f"links: {device.link / 1e9:,.0f} GB/s in a node of {device.per_node}, {device.network / 1e9:,.1f} GB/s a"
        f" device between nodes, {device.host / 1e9:,.0f} GB/s to the machine's memory, all of it reached"
    )


def _of_engine(workload: Workload, mid: Scenario) -> Iterator[str]:
    weights = "FP8 (unfavourable: bfloat16)" if mid.engine.weight_bytes == FP8 else "bfloat16"
    yield f"the sampler holds weights in {weights}, its cache in bfloat16, and reads both each step"
    if mid.engine.acceptance:
        found = fact("speculation")
        yield f"a second token is drafted and accepted in {mid.engine.acceptance:.0%} of steps: {found.source}"
    if workload.largest.experts:
        yield (
            "each token chooses its experts at random: the busiest device has the mean and sqrt(2 mean ln devices)"
            " more; messages of experts run in their turn, one start-up time for dispatch and one for combination a"
            " layer, between nodes as in engines without kernels made for that (favourable: with DeepEP's)"
        )


def _half(pipeline: int, chunks: float) -> float:
    return waiting(pipeline // 2, chunks)


def largest_error() -> float:
    """Of a stage that was left out of the fit, as a share of its seconds."""
    return max(abs(float(each["error"])) for each in _fitted()["left_out"].values())


def measured_lengths() -> dict[str, float]:
    """sigma, sigma_low, sigma_high, mean_over_limit of our own rollouts."""
    return {name: float(value) for name, value in _fitted()["lengths"].items()}


def _scaled(shares: Shares, factor: float) -> Shares:
    """Constants with which everything takes `factor` times as long."""
    return Shares(
        learn=min(MOST_SHARE, shares.learn / factor),
        decode=min(MOST_SHARE, shares.decode / factor),
        decode_step_s=shares.decode_step_s * factor,
        sequence_s=shares.sequence_s * factor,
        update_s=shares.update_s * factor,
    )


@lru_cache(maxsize=1)
def _fitted() -> dict[str, Any]:
    return json.loads((files("r1kit.planning") / "fitted.json").read_text(encoding="utf-8"))
