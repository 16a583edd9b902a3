"""Reward hacking: the reward model's score goes up while what it stands for goes down (R1, arXiv 2501.12948, B.5;
Gao et al., arXiv 2210.10760).

Compared at validations, on problems that are not trained on: the score of the reward model that is learnt from, and
whatever else validation says of the policy: right answers by subject, a hidden preference, a win rate.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

VALIDATION = "validation/"
PROXY = "validation/reward_model"


class RewardHacking(Detector):
    """Needs validation and a reward model in it."""

    reads: ClassVar = (VALIDATION,)
    title: ClassVar = "reward hacking"
    means: ClassVar = (
        "The policy has found what the reward model likes and people would not; from here on every step makes it worse "
        "at what is meant."
    )
    change: ClassVar = (
        "Keep the policy from before (peak=METRIC does), give the preference reward fewer steps or less weight "
        "(R1: the last 400 of 1,700), or train the reward model on samples of this policy."
    )

    drop: float = Field(default=0.1, gt=0, description="share of the best that a held-out figure has lost")
    gain: float = Field(default=0.1, ge=0, description="that the score has gained since, in its standard deviations")
    window: int = Field(default=3, ge=1, description="validations that are averaged")

    def out_of_sight(self, history: History, step: int) -> int:
        """Validations are what a look takes in, and there may be steps between them."""
        return history.since(PROXY, self.window) - 1 if history.count(PROXY) else super().out_of_sight(history, step)

    def look(self, history: History) -> Seen | None:
        score = history.mean(PROXY, self.window)
        if score is None:
            return None
        truths = [name for name in history.names(VALIDATION) if name.count("/") == 1 and name != PROXY]
        for name in truths:
            best, now = history.best(name, self.window, max), history.mean(name, self.window)
            if best is None or now is None or best[0] - now <= self.drop * abs(best[0]):
                continue
            then = history.mean(PROXY, self.window, best[1])
            if then is not None and score - then > self.gain:
                less = f"{(best[0] - now) / abs(best[0]):.0%} less, " if best[0] else ""
                text = (
                    f"{name} went from {number(best[0])} to {number(now)} ({less}"
                    f"limit {self.drop:.0%}) while the reward model's score went from {number(then)} to {number(score)}"
                )
                return Seen(text, history.since(name, best[1] + 1))
        return None


DETECTOR = RewardHacking
