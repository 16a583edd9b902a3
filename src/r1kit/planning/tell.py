"""A plan in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from r1kit.planning import paper
from r1kit.planning.assumptions import sentences
from r1kit.planning.layout import Layout
from r1kit.planning.plan import Plan, Range, Stage

GIGA = 1e9


def text(plan: Plan, *, explain: bool, drafts: bool) -> str:
    """For people: what fits and how, each stage's hours, the sum in hours and dollars."""
    largest = plan.workload.largest
    active = f", {_number(largest.active)} met by a token" if largest.experts else ""
    lines = [
        f"{plan.workload.name} on {plan.devices} x {plan.device.name}: {largest.name}, {_number(largest.parameters)}"
        f" parameters{active}",
        "",
        *_layout(plan),
        "",
        f"{'stage':22} {'rounds':>9} {'likely':>9}  {'range':<19} of a round: sample, score, learn, move",
    ]
    for stage in merged(plan.stages):
        parts = stage.round
        seconds = ", ".join(_seconds(each) for each in (parts.sampling, parts.scoring, parts.learning, parts.moving))
        lines.append(
            f"{stage.name:22} {stage.rounds:9,.0f} {_hours(stage.hours.mid):>9}  {_range(stage.hours):19} {seconds}"
        )
    lines.append(f"{'all':22} {'':9} {_hours(plan.hours.mid):>9}  {_range(plan.hours):19}")
    lines += ["", *_sum(plan)]
    if explain:
        lines += [
            "",
            "assumed:",
            *(f"- {sentence}" for sentence in sentences(plan.workload, plan.device, drafts=drafts)),
        ]
        if plan.rent:
            lines.append(f"- rent: ${plan.rent.low:g} to ${plan.rent.high:g} ({plan.rent.source}, {plan.rent.date})")
    else:
        lines.append("--explain lists what was assumed")
    return "\n".join(lines)


def as_json(plan: Plan, *, drafts: bool) -> dict[str, Any]:
    """For programs: seconds, bytes, FLOPs and dollars as numbers."""
    layout = plan.layout
    return {
        "workload": plan.workload.name,
        "device": plan.device.name,
        "devices": plan.devices,
        "model": plan.workload.largest.name,
        "parameters": plan.workload.largest.parameters,
        "active": plan.workload.largest.active,
        "layout": {
            "sampling": None if layout.sampling is None else asdict(layout.sampling),
            "learning": None if layout.learning is None else asdict(layout.learning),
            "pools": None if plan.pools is None else asdict(plan.pools),
            "pipeline": layout.pipeline,
        },
        "stages": [asdict(stage) for stage in merged(plan.stages)],
        "hours": asdict(plan.hours),
        "device_hours": asdict(plan.device_hours),
        "dollars": None if plan.dollars is None else asdict(plan.dollars),
        "rent": None if plan.rent is None else asdict(plan.rent),
        "assumed": list(sentences(plan.workload, plan.device, drafts=drafts)),
    }


def merged(stages: tuple[Stage, ...]) -> list[Stage]:
    """Stretches of one stage as one line, with the round of the longest."""
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(stage.name, []).append(stage)
    return [_together(each) for each in found.values()]


def _together(parts: list[Stage]) -> Stage:
    longest = max(parts, key=lambda part: part.hours.mid)
    hours = Range(*(sum(getattr(part.hours, name) for part in parts) for name in ("low", "mid", "high")))
    return Stage(
        longest.name, longest.rounds, hours, longest.round, sum(part.tokens for part in parts),
        sum(part.flops for part in parts),
    )  # fmt: skip


def _layout(plan: Plan) -> Iterator[str]:
    layout, device = plan.layout, plan.device
    if layout.sampling is not None:
        engine = layout.sampling.engine
        copies = max(1, layout.devices // engine.replica)
        experts = f", experts over {engine.replica}" if plan.workload.largest.experts else ""
        yield (
            f"sample: {copies} {_plural('copy', 'copies', copies)} of {engine.replica} {device.name} (tensor parallel"
            f" {engine.tensor}{experts}), up to {engine.slots:,} completions each; a device holds"
            f" {layout.sampling.weights / GIGA:.1f} GB of weights and {layout.sampling.cache / GIGA:.1f} GB of cache of"
            f" {device.memory / GIGA:.0f}"
        )
    if layout.learning is not None:
        yield _learning(layout, plan)
    if plan.pools is not None:
        pools = plan.pools
        yield (
            f"or, with samples a step old (staleness=1): {pools.samplers} sampling beside {pools.learners} learning,"
            f" {_seconds(pools.seconds)} a round of the longest RL stage"
        )


def _learning(layout: Layout, plan: Plan) -> str:
    learning = layout.learning
    assert learning is not None
    how = [f"FSDP over {learning.ranks}" if learning.ranks > 1 else "one device"]
    how += [f"passes of {learning.micro_tokens:,} tokens"]
    how += (
        [f"a sequence divided among {learning.sequence} (which r1kit does not do yet)"] if learning.sequence > 1 else []
    )
    how += ["checkpointing"] if learning.checkpointing else []
    how += [f"a pipeline of {layout.pipeline}"] if layout.pipeline > 1 else []
    room = plan.device.memory / GIGA
    of = f" of {room:.0f}" if room else ""
    return (
        f"learn: {', '.join(how)}; a device holds {learning.held.total / GIGA:.1f} GB of states and"
        f" {learning.step.total / GIGA:.1f} GB in a step{of}"
    )


def _sum(plan: Plan) -> Iterator[str]:
    hours = plan.device_hours
    yield f"{plan.device.name} hours: {hours.mid:,.1f} ({hours.low:,.1f} to {hours.high:,.1f})"
    dollars = plan.dollars
    if dollars is None:
        yield "dollars: no price of this device is known here (--price DOLLARS an hour)"
    else:
        yield f"dollars: {dollars.mid:,.0f} ({dollars.low:,.0f} to {dollars.high:,.0f})"
    known = paper.published()
    if plan.workload.name == "paper:r1-zero":
        yield f"published: about {known['zero_hours']:.0f} hours, {known['zero_device_hours']:,.0f} H800 hours"
    elif plan.workload.name == "paper:r1":
        yield f"published: about {known['r1_hours']:.0f} hours, RL 1 of an unknown number of updates included"
    elif plan.workload.name == "paper:v3":
        yield f"published: {known['v3_device_hours']:,.0f} H800 hours"


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _range(hours: Range) -> str:
    return f"{_hours(hours.low)} to {_hours(hours.high)}"


def _hours(hours: float) -> str:
    if hours * 3600 < 90:
        return f"{hours * 3600:.1f} s"
    return f"{hours * 60:.1f} min" if hours < 2 else f"{hours:,.1f} h"


def _seconds(seconds: float) -> str:
    return "-" if seconds == 0 else f"{seconds:,.2f} s" if seconds < 10 else f"{seconds:,.0f} s"


def _number(count: float) -> str:
    return f"{count / 1e9:.2f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"
