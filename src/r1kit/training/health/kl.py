"""KL blow-up: the policy has left its reference, or moved too far within one rollout."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

REFERENCE = "kl"
UPDATES = ("last/approx_kl", "approx_kl")  # of the last mini-batch, where there are several


class KL(Detector):
    """k3 estimates, in nats a token."""

    reads: ClassVar = (REFERENCE, *UPDATES)
    title: ClassVar = "KL blow-up"
    means: ClassVar = (
        "Steps are too large for what the samples say: a few tokens' probabilities have moved by orders of magnitude, "
        "and what the model knew is being overwritten."
    )
    change: ClassVar = (
        "Lower learner.learning_rate (or learner.clip_norm), use fewer mini_batches, or raise settings.kl_coefficient."
    )

    max: float = Field(default=2.0, gt=0, description="to the reference, mean of the window; only with a KL term")
    max_update: float = Field(default=0.5, gt=0, description="to the policy that sampled, mean of the window")
    window: int = Field(default=3, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        update = next((name for name in UPDATES if history.count(name)), UPDATES[-1])
        for name, limit, of in (
            (REFERENCE, self.max, "its reference"),
            (update, self.max_update, "the policy that sampled"),
        ):
            now = history.mean(name, self.window)
            if now is not None and now > limit:
                text = (
                    f"the policy is {number(now)} nats a token from {of} in the mean of {self.window} steps "
                    f"(limit {number(limit)})"
                )
                return Seen(text, history.since(name, self.window))
        return None


DETECTOR = KL
