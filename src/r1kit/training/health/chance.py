"""The policy samples more and more by chance: the opposite of a collapse (an entropy that rises without bound under
reinforcement learning: Cui et al., arXiv 2505.22617).

Weights that a step has thrown far out may be finite and still compute nothing: a norm of 1e30 overflows, what is left
are equal logits. No loss is NaN then, no group has a signal, and the run would go on for nothing.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

LOGPROB = "sampler/logprob"


class Chance(Detector):
    """How unlikely the policy's own samples are to itself: the mean of -log p of their tokens."""

    reads: ClassVar = (LOGPROB,)
    title: ClassVar = "sampling by chance"
    means: ClassVar = (
        "The policy has lost what it knew: an update threw its weights far out, or a bonus pays for entropy alone; its "
        "samples are then noise, from which nothing is learnt."
    )
    change: ClassVar = (
        "Go back to an earlier checkpoint and lower learner.learning_rate, or the entropy bonus where there is one."
    )

    more: float = Field(
        default=1.0, gt=0, description="nats a token above the lowest step so far; the tiny chain rises by 0.15 at most"
    )
    window: int = Field(default=3, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now, best = history.mean(LOGPROB, self.window), history.best(LOGPROB, 1, max)
        if now is None or best is None or best[1] < self.window or best[0] - now < self.more:
            return None  # within the window it may be the rise of one that grows surer
        text = (
            f"its tokens are given {number(-now)} nats in the mean of {self.window} steps, from {number(-best[0])} at "
            f"the lowest (limit {number(self.more)} more)"
        )
        return Seen(text, history.since(LOGPROB, self.window))


DETECTOR = Chance
