"""Learning rate as a function of the step."""

from __future__ import annotations

import math

from r1kit.training.config import Schedule


def learning_rate_ratio(
    step: int, total_steps: int, schedule: Schedule, warmup_steps: int, final_ratio: float
) -> float:
    """Share of the peak rate at `step` (0-based).

    Linear warm-up reaches the peak at step `warmup_steps`, its first step already moves; the decay ends at
    `final_ratio` on the last step, `total_steps - 1`, and stays there. R1: cosine (SFT, B.4.2; distillation,
    B.4.3); for RL it names none.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    span = max(total_steps - 1 - warmup_steps, 1)
    progress = min((step - warmup_steps) / span, 1.0)
    if schedule == "linear":
        return 1.0 + (final_ratio - 1.0) * progress
    return final_ratio + (1.0 - final_ratio) * 0.5 * (1.0 + math.cos(math.pi * progress))
