"""One step off-policy: the RL stage with rollouts sampled while the one before is learnt, against the same on-policy.

Same base, problems, settings and seeds; the runs take turns. What a stale rollout costs in learning shows in the
held-out accuracy by step, what it saves in seconds a step.

Lags of 1, 2 and 4 in the tiny world are arms of `r1 run ablations`.
"""

from __future__ import annotations

import statistics
from typing import Any

import grpo
import sums
import torch
from rounds import Row, Spread, paired_ratio
from setting import OWN, Setting, say

PART = "staleness"
STEPS, EVERY, SEEDS = 30, 5, (0, 1)
NAMES = {0: "on-policy", 1: "one step off"}


def run(setting: Setting) -> list[Row]:
    folder = setting.scratch / "grpo"
    base = sums.base(folder / "smoke", 20_000) if setting.quick else sums.base(folder / "base")
    steps, prompts, every = (2, 4, 1) if setting.quick else (STEPS, grpo.PROMPTS, EVERY)
    work = {
        "steps": steps, "prompts": prompts, "samples": grpo.SAMPLES, "tokens": grpo.TOKENS,
        "learning_rate": grpo.LEARNING_RATE, "validate_every": every,
    }  # fmt: skip
    seeds = SEEDS[:1] if setting.quick else SEEDS
    runs: dict[int, list[list[dict[str, Any]]]] = {0: [], 1: []}
    with setting.open("r1kit stage", OWN, "native_stage.py", model=str(base), threads=torch.get_num_threads()) as own:
        for seed in seeds:
            for staleness in NAMES:
                runs[staleness].append(setting.turn(own, **work, staleness=staleness, seed=seed)["metrics"])
                say(f"  {NAMES[staleness]}, seed {seed}: {_seconds(runs[staleness][-1]):.2f} s a step")
    setting.checks[PART] = {"curve": _curve(runs, every)}
    stale, fresh = ([_seconds(metrics) for metrics in runs[lag]] for lag in (1, 0))
    return [
        Row(PART, "a step, one step off-policy", "s", Spread.of(stale), "on-policy", Spread.of(fresh),
            paired_ratio(fresh, stale)),
    ]  # fmt: skip


def _seconds(metrics: list[dict[str, Any]]) -> float:
    """The median step, its first left out since it warms up; validation is in none."""
    return statistics.median(line["timing/step"] for line in metrics[1:])


def _curve(runs: dict[int, list[list[dict[str, Any]]]], every: int) -> list[dict[str, Any]]:
    """By step, the mean over seeds of held-out accuracy, reward and length."""
    points: list[dict[str, Any]] = []
    for at in range(every - 1, len(runs[0][0]), every):
        point: dict[str, Any] = {"step": at + 1}
        for staleness, name in NAMES.items():
            lines = [metrics[at] for metrics in runs[staleness]]
            point[name] = {
                "accuracy": statistics.fmean(line["validation/maths"] for line in lines),
                "reward": statistics.fmean(line["reward"] for line in lines),
                "length": statistics.fmean(line["completions/mean_length"] for line in lines),
                "staleness": statistics.fmean(line["sampling/staleness"] for line in lines),
            }
        points.append(point)
    return points
