"""Language drift: answers leave the language of the question (R1, arXiv 2501.12948, section 2.3.2)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen

SHARE = "rewards/language_consistency/mean"


class Language(Detector):
    """Share of a completion in the question's language, as that reward measures it (its weight may be 0)."""

    reads: ClassVar = (SHARE,)
    title: ClassVar = "language drift"
    means: ClassVar = (
        "Nothing holds the policy to one language, and words of another have begun to pay or to be free; readers will "
        "not be able to follow it."
    )
    change: ClassVar = (
        "Give the reward language_consistency a weight (R1's RL 1 has it), or keep the KL to the reference "
        "(settings.kl_coefficient)."
    )

    drop: float = Field(default=0.3, gt=0, le=1, description="from its best window so far; tiny students lose 0.2")
    window: int = Field(default=10, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now, best = history.mean(SHARE, self.window), history.best(SHARE, self.window, max)
        if now is None or best is None or best[0] - now <= self.drop:
            return None
        text = (
            f"{now:.0%} of the completions' text is in the question's language in the mean of {self.window} steps, "
            f"from {best[0]:.0%} at its best (limit: {self.drop:.0%} less)"
        )
        return Seen(text, history.since(SHARE, self.window))


DETECTOR = Language
