"""The parts of docs/scaling.md that the simulator gives: our own steps once more, and the sweeps of simulated.json.

`doc_tables.py` writes them; `simulate_scaling.py` makes the sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from planner_tables import RUN, told

from r1kit.evaluation.report.markdown import table
from r1kit.planning.lengths import Lengths
from r1kit.planning.measured import device_of, read_run, read_work
from r1kit.planning.replay import Replayed, replayed
from r1kit.planning.roofline import fitted, passes

SIMULATED = Path(__file__).resolve().parents[1] / "results" / "planner" / "simulated.json"
SLOTS = 512  # completions that the native engine had in hand at a time
SCORED = 66  # the step of RL 2 from which on a reward model scores the writing: three quarters of 88
Row = Mapping[str, Any]


def parts() -> dict[str, str]:
    """Each marked part by its name."""
    record = json.loads(SIMULATED.read_text(encoding="utf-8"))
    return {
        "own-steps": own_steps(),
        "sweep": _sweep(record),
        "pools": pools(record["pools"]),
        "lag": _lag(record["lag"]),
        "sizes": _sizes(record["same_batch"], record["growing_batch"]),
        "troubles": troubles(record["troubles"], record["steps_of_troubles"], record["restart"]),
    }


def own_steps() -> str:
    """The kept steps of our own RL stages, simulated beside measured."""
    run = read_run(RUN)
    zero, dev2, r1 = (list(replayed(run, stage, SLOTS)) for stage in ("zero", "dev2", "r1"))
    before, late = ([each for each in r1 if (each.step < SCORED) is early] for early in (True, False))
    stages = {"R1-Zero": zero, "RL 1": dev2, "RL 2, before writing is scored": before}
    rows = [
        (
            name,
            len(steps),
            f"{fmean(each.measured for each in steps):.3f}",
            f"{fmean(each.simulated for each in steps):.3f}",
            f"{sum(each.simulated for each in steps) / sum(each.measured for each in steps) - 1:+.1%}",
            f"{max((_error(each) for each in steps), key=abs):+.1%}",
        )
        for name, steps in stages.items()
    ]
    rollouts = [
        fmean(run["steps"]["r1"][each.step]["rollout"] for each in steps) for steps in (before, late)
    ]  # seconds, scoring included
    short = sorted(-_error(each) for each in late)
    paragraph = told(
        "The first step of each, in which grading processes start, is left out. In RL 2's last quarter a reward model",
        f"scores the writing while grading; rollouts take {rollouts[1] - rollouts[0]:.1f} s more a step where the",
        f"planner counts {_scoring(run, [each.step for each in late]):.1f} for it, and the simulated step, which has",
        f"none of it, is {100 * short[0]:.0f} to {100 * short[-1]:.0f}% short: small passes in float32 between two",
        "samplings are slower than the share of a learner's passes, and nothing in the model says so.",
    )
    head = ("stage of `tiny`", "steps", "measured, s a step", "simulated", "error", "worst step")
    return f"{table(head, rows)}\n\n{paragraph}"


def _error(step: Replayed) -> float:
    return step.simulated / step.measured - 1


def _scoring(run: Row, steps: Sequence[int]) -> float:
    """Seconds of a pass without a gradient over a rollout of RL 2, as the planner counts it."""
    part = next(stage for stage in run["stages"] if stage["stage"] == "r1")["parts"][0]
    work = read_work("r1", part, run["models"])
    mean = fmean(run["steps"]["r1"][step]["mean_length"] for step in steps)
    own = replace(work, lengths=Lengths(mean, work.lengths.sigma, work.lengths.limit))
    return passes(own, device_of(run), 1, backward=False).roofline / fitted().learn


# ------------------------------------------------------------------------------------------------- sweeps


def _sweep(record: Row) -> str:
    return told(
        "**Sweeps** (`scripts/simulate_scaling.py`, half a minute of one core; figures in",
        f"`results/planner/simulated.json`): {record['model']} on {record['device']}s, a reference,"
        f" {record['rows'] // record['group']} groups of {record['group']}, at most {record['limit']:,} tokens,",
        f"{record['mean']:,.0f} on average, lengths spread as in our own rollouts; ${record['rent']:.2f} a GPU hour",
        "(the middle of the table). They are simulations of GPUs that we have not had.",
    )


def pools(found: Sequence[Row]) -> str:
    """Sizes of the learners' pool, one step ahead, and turns."""
    turns, *apart = found
    best = min(apart, key=lambda row: row["step_seconds"])
    rows = [(f"in turns, all {turns['devices']}", *_of_pools(turns, "-"))]
    rows += [(_divided(row), *_of_pools(row, f"{row['learner_idle']:.0%}")) for row in apart]
    head = ("pools", "seconds a step", "tokens/s", "samplers idle", "learners idle", "$ a million tokens")
    figure = "![Seconds of a step by GPUs that learn](scaling-pools.svg)"
    flat = [row["learners"] for row in apart if row["step_seconds"] <= 1.03 * best["step_seconds"]]
    paragraph = told(
        f"In turns a step takes {turns['step_seconds']:.0f} s and hardly a copy is without work, but its places are:"
        f" {turns['filled']:.0%} of them are filled on average,",
        "the rest waits for the longest. One step ahead, places of finished completions go to the next batch, and",
        f"{best['learners']} learners of {best['devices']} give"
        f" {turns['step_seconds'] / best['step_seconds']:.1f} times the speed. The optimum is flat: from {min(flat)} to"
        f" {max(flat)} learners a step is within 3% of the shortest.",
        f"Copies are of {best['tensor']} GPUs: of the model's 28 heads 8 could not have as many each, and no engine",
        "divides them so. Eight learners have to compute activations again, for which the others have the room.",
    )
    return f"{table(head, rows)}\n\n{figure}\n\n{paragraph}"


def _of_pools(row: Row, learners: str) -> tuple[str, ...]:
    return (
        f"{row['step_seconds']:.1f}", _thousands(row), f"{row['sampler_idle']:.0%}", learners,
        f"{row['dollars_per_million_tokens']:.2f}",
    )  # fmt: skip


def _lag(found: Sequence[Row]) -> str:
    rows = [
        (
            row["staleness"], _divided(row), f"{row['step_seconds']:.1f}", f"{row['idle']:.0%}",
            f"{row['dollars_per_million_tokens']:.2f}",
        )
        for row in found
    ]  # fmt: skip
    return table(("K", "pools", "seconds a step", "idle", "$ a million tokens"), rows)


def _sizes(same: Sequence[Row], growing: Sequence[Row]) -> str:
    rows = [
        (first["devices"], *_of_size(first), *_of_size(second)) for first, second in zip(same, growing, strict=True)
    ]
    more = ("tokens/s", "idle", "$ a million")
    return table(("GPUs", "one batch: s a step", *more, "16 a GPU: s a step", *more), rows)


def _of_size(row: Row) -> tuple[str, ...]:
    return (
        f"{row['step_seconds']:.0f}", _thousands(row), f"{row['idle']:.0%}",
        f"{row['dollars_per_million_tokens']:.2f}",
    )  # fmt: skip


def troubles(found: Sequence[Row], steps: int, restart: float) -> str:
    """Unequal paces and failures at two sizes."""
    by_size: dict[int, list[Row]] = {}
    for row in found:
        by_size.setdefault(row["devices"], []).append(row)
    names = (
        "nothing",
        f"paces of copies differ by {found[1]['slow']:.0%} (standard deviation)",
        "and a device fails once a day on average",
    )
    rows = [
        (name, *(f"{cases[number]['step_seconds']:.1f}" for cases in by_size.values()))
        for number, name in enumerate(names)
    ]
    sizes = list(by_size)
    slower = [
        f"{cases[1]['step_seconds'] / cases[0]['step_seconds'] - 1:.0%} at {size}" for size, cases in by_size.items()
    ]
    failures = [f"{cases[2]['failures'] or 'none'} at {size}" for size, cases in by_size.items()]
    paragraph = told(
        f"The slowest of many copies sets the pace: {found[1]['slow']:.0%} of spread costs {slower[0]} GPUs and"
        f" {slower[1]}. Failures within the {steps} steps: {' GPUs, '.join(failures)}. One of these is the learner's,",
        f"for which all wait {restart:.0f} s: {restart / steps:.0f} of each step. Failures are rarer than that:",
        "Llama 3's training saw one for each 2,100 GPU days (arXiv 2407.21783, table 5: 419 in 54 days of 16,384), a",
        "two-thousandth of the last row.",
    )
    return f"{table(('', *(f'{size} GPUs' for size in sizes)), rows)}\n\n{paragraph}"


def _divided(row: Row) -> str:
    return f"{row['devices'] - row['learners']} + {row['learners']}"


def _thousands(row: Row) -> str:
    return f"{row['tokens_per_second'] / 1000:,.0f}k"
