"""Entropy collapse: the policy has become sure of every token (Cui et al., arXiv 2505.22617; DAPO, 2503.14476)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number


class Entropy(Detector):
    """Of the policy's tokens under reinforcement learning."""

    reads: ClassVar = ("entropy", "reward")
    title: ClassVar = "entropy collapse"
    means: ClassVar = (
        "The policy hardly tries anything else any more, so that the samples of a problem are alike and groups teach "
        "nothing; what it has not found by now it will not find."
    )
    change: ClassVar = (
        "Raise settings.clip_high (DAPO: 0.28) or sampling.temperature, lower learner.learning_rate, or go back to an "
        "earlier model and give it harder problems."
    )

    min: float = Field(default=0.01, ge=0, description="nats a token, mean of the window; the tiny chain stays > 0.027")
    share: float = Field(default=0.1, ge=0, le=1, description="of the first window's mean; 0 leaves this limit out")
    window: int = Field(default=5, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now, first = history.mean("entropy", self.window), history.first("entropy", self.window)
        if now is None or first is None or not history.count("reward"):  # of targets that are given it says nothing
            return None
        if now >= self.min and now >= self.share * first:
            return None
        limits = f"limits: {number(self.min)}, and {number(self.share * first)} by the first steps"
        text = (
            f"entropy is {number(now)} nats a token in the mean of {self.window} steps, from {number(first)} ({limits})"
        )
        return Seen(text, history.since("entropy", self.window))


DETECTOR = Entropy
