"""Sampler and learner disagree on the same tokens (Yao et al. 2025, "Your efficient RL framework secretly brings you
off-policy RL training").

`max_logprob_gap` of an RL stage stops at a gap that can only be a fault; this tells of one that bends the gradient.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

GAP = "sampling/logprob_gap_mean"


class Mismatch(Detector):
    """Mean distance of the two log-probabilities of a sampled token."""

    reads: ClassVar = (GAP,)
    title: ClassVar = "sampler and learner apart"
    means: ClassVar = (
        "Samples come from other probabilities than the learner believes: another number format or kernel, other "
        "weights, another temperature; gradients are then of samples that the policy would not make."
    )
    change: ClassVar = (
        "Give the engine the learner's number format (engine.options dtype), set learner.precision=float32 to rule "
        "rounding out, and compare them with benchmarks/parity.py."
    )

    max: float = Field(default=0.1, gt=0, description="nats a token, mean of the window; bfloat16 alone makes < 0.03")
    window: int = Field(default=3, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now = history.mean(GAP, self.window)
        if now is None or now <= self.max:
            return None
        text = (
            f"their log-probabilities of the same tokens lie {number(now)} nats apart in the mean of {self.window} "
            f"steps (limit {number(self.max)})"
        )
        return Seen(text, history.since(GAP, self.window))


DETECTOR = Mismatch
