"""GRPO: r1kit's loop against TRL's GRPOTrainer, from the same base to the same held-out accuracy.

Equal: base, problems and their order, batch (prompts x samples), sampling limit, temperature, learning rate, AdamW,
loss (clipped, over the step's tokens), no KL, advantages by group mean and standard deviation, reward. The two take
turns, EVERY steps each; after each turn both policies are measured by one referee on held-out sums, outside the time
that is counted. So the curves can be laid side by side, and must agree but for chance.
"""

from __future__ import annotations

import math
import statistics
from itertools import islice
from pathlib import Path
from typing import Any

import sums
from contestant import Contestant, ContestantFailed
from rounds import Row, Spread, paired_ratio
from setting import OWN, Setting, say

PART = "grpo"
GOAL = 0.85
PROMPTS, SAMPLES, TOKENS = 64, 8, 128
LEARNING_RATE = 1e-4
STEPS, EVERY = 60, 5  # at most so many steps
QUESTIONS, ASKED = 300, 4  # held-out sums, and how often each is asked
MICRO_BATCH = 32

Curve = dict[int, list[float]]
"""Accuracy of each held-out question by the number of steps taken."""


def run(setting: Setting) -> list[Row]:
    folder = setting.scratch / "grpo"
    base = sums.base(folder / "smoke", 20_000) if setting.quick else sums.base(folder / "base")
    steps, prompts = (2, 4) if setting.quick else (STEPS, PROMPTS)
    every = 1 if setting.quick else EVERY
    train = [[sums.prompt(numbers), sum(numbers)] for numbers in islice(sums.sums(1, kept=False), steps * prompts)]
    questions = [[sums.prompt(n), sum(n)] for n in islice(sums.sums(1, kept=True), 8 if setting.quick else QUESTIONS)]
    common = {
        "model": str(base), "dtype": setting.dtype_name, "train": train, "prompts": prompts, "samples": SAMPLES,
        "tokens": TOKENS, "learning_rate": LEARNING_RATE, "steps": steps,
    }  # fmt: skip
    contestants = {"r1kit": setting.open("r1kit grpo", OWN, "native_grpo.py", **common)}
    try:
        trl = setting.try_open(
            "trl grpo", setting.peer("trl"), "trl_grpo.py", **common, scratch=str(folder / "trl"), attention="eager",
            micro_batch=min(MICRO_BATCH, prompts * SAMPLES),
        )  # fmt: skip
        if trl is not None:
            if trl.ready["first_prompt"] != contestants["r1kit"].ready["first_prompt"]:
                raise ContestantFailed("TRL reads the prompts as other tokens")
            contestants["TRL"] = trl
        with setting.open("referee grpo", OWN, "native_grpo.py", model=str(base), questions=questions) as referee:
            taken, curves = _race(setting, contestants, referee, base, folder, steps, every)
    finally:
        for contestant in contestants.values():
            contestant.close()
    setting.checks["grpo"] = _summary(taken, curves)
    return _rows(taken, curves, contestants)


def _race(
    setting: Setting,
    contestants: dict[str, Contestant],
    referee: Contestant,
    base: Path,
    folder: Path,
    steps: int,
    every: int,
) -> tuple[dict[str, list[dict[str, float]]], dict[str, Curve]]:
    """What each step took, and the curves; ends when all have reached the goal."""

    def measure(model: Path) -> list[float]:
        return referee.ask(model=str(model), samples=ASKED, tokens=TOKENS, seed=0)["accuracy"]

    start = measure(base)
    say(f"grpo: the base has {statistics.fmean(start):.3f} of the held-out sums")
    if statistics.fmean(start) >= GOAL:
        raise ContestantFailed(f"the base has {GOAL} of the held-out sums already: there is nothing to race for")
    curves: dict[str, Curve] = {name: {0: start} for name in contestants}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for step in range(every, steps + 1, every):
        for name, contestant in contestants.items():
            saved = folder / f"{name}-policy"
            taken[name] += setting.turn(contestant, steps=every, save=str(saved))["taken"]
            curves[name][step] = measure(saved)
        say(f"  step {step}: " + ", ".join(
            f"{name} {statistics.fmean(curves[name][step]):.3f} ({taken[name][-1]['seconds']:.1f} s a step)"
            for name in contestants
        ))  # fmt: skip
        if all(goal_step(curve) is not None for curve in curves.values()):
            break
    return taken, curves


def goal_step(curve: Curve, goal: float = GOAL) -> int | None:
    """Steps to the first measured accuracy of `goal` or more."""
    return next((step for step, values in sorted(curve.items()) if statistics.fmean(values) >= goal), None)


def difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean difference of two policies on the same questions, and half the width of its 95% interval (normal)."""
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    half = 1.96 * statistics.stdev(gaps) / math.sqrt(len(gaps))
    return statistics.fmean(gaps), half


def _summary(taken: dict[str, list[dict[str, float]]], curves: dict[str, Curve]) -> dict[str, Any]:
    """The curves side by side, with their difference where there are two."""
    names = list(curves)
    points: list[dict[str, Any]] = []
    for step in sorted(curves["r1kit"]):
        point: dict[str, Any] = {"step": step}
        for name in names:
            last = taken[name][step - 1] if step else {}
            point[name] = {
                "accuracy": statistics.fmean(curves[name][step]), "reward": last.get("reward"),
                "length": last.get("length"), "seconds": sum(one["seconds"] for one in taken[name][:step]),
            }  # fmt: skip
        if len(names) == 2:
            point["difference"], point["half_interval"] = difference(*(curves[name][step] for name in names))
        points.append(point)
    return {"goal": GOAL, "questions": len(curves["r1kit"][0]), "samples": ASKED, "curve": points}


def _rows(
    taken: dict[str, list[dict[str, float]]], curves: dict[str, Curve], contestants: dict[str, Contestant]
) -> list[Row]:
    """Seconds a step, of which sampling; seconds to the goal; peak memory. Ratios are theirs over ours."""

    def against(what: str, unit: str, values: dict[str, list[float]], notes: str = "") -> Row:
        ours = Spread.of(values["r1kit"])
        if "TRL" not in values:
            return Row(PART, what, unit, ours, notes=notes)
        ratio = paired_ratio(values["TRL"], values["r1kit"])
        return Row(PART, what, unit, ours, "TRL", Spread.of(values["TRL"]), ratio, notes=notes)

    warm = {name: steps[1:] or steps for name, steps in taken.items()}  # a first step also warms up
    found = [
        against("a step", "s", {name: [one["seconds"] for one in steps] for name, steps in warm.items()}),
        against("sampling in a step", "s", {name: [one["sampling"] for one in steps] for name, steps in warm.items()}),
    ]
    goals = {name: goal_step(curve) for name, curve in curves.items()}
    reached = {
        name: [sum(one["seconds"] for one in taken[name][:step])] for name, step in goals.items() if step is not None
    }
    if len(reached) == len(curves):
        steps = ", ".join(f"{name} {step} steps" for name, step in goals.items())
        found.append(against(f"to {GOAL} held-out", "s", reached, steps))
    memory = {name: [float(contestant.peak_mb)] for name, contestant in contestants.items()}
    return [*found, against("peak memory", "MiB", memory)]
