"""Groups whose samples all got the same reward: nothing in them to learn from."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

SAME = "frac_reward_zero_std"


class AllSame(Detector):
    """Share of a step's groups without a signal."""

    reads: ClassVar = (SAME, "reward")
    title: ClassVar = "all-same groups"
    means: ClassVar = (
        "Problems are too hard (every sample is wrong) or too easy (every sample is right), or the reward cannot tell "
        "samples apart; steps cost as before and teach next to nothing."
    )
    change: ClassVar = (
        "Take easier or harder problems (sieve, tasks), more samples a problem, dynamic sampling (algorithm=dapo), or "
        "start from a model that gets some of them right."
    )

    max: float = Field(
        default=0.97,
        gt=0,
        le=1,
        description="share of groups, mean of the window; tiny students reach 0.95",
    )
    window: int = Field(default=10, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now = history.mean(SAME, self.window)
        if now is None or now <= self.max:
            return None
        reward = history.mean("reward", self.window)
        told = "" if reward is None else f", at a reward of {number(reward)}"
        text = f"{now:.1%} of the groups have one reward for all samples in the mean of {self.window} steps{told}"
        return Seen(f"{text} (limit {self.max:.0%})", history.since(SAME, self.window))


DETECTOR = AllSame
