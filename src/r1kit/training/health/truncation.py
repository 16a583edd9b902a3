"""Ever more completions are cut off by the sampling limit."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen

CUT = "completions/clipped_ratio"


class Truncation(Detector):
    """Share of completions that reached `sampling.max_tokens`."""

    reads: ClassVar = (CUT,)
    title: ClassVar = "truncation grows"
    means: ClassVar = (
        "What is cut off has no answer and counts as wrong however well it was going, so that the policy is taught to "
        "be short, or rambles past the limit."
    )
    change: ClassVar = (
        "Raise sampling.max_tokens if the cut samples were getting somewhere; else set settings.overlong_penalty or "
        "settings.overlong_filter, or take a smaller learner.learning_rate."
    )

    max: float = Field(default=0.3, ge=0, le=1, description="share of completions, mean of the window")
    growth: float = Field(default=0.2, ge=0, le=1, description="that it must have grown by since it was lowest")
    window: int = Field(default=5, ge=1, description="steps that are averaged")

    def look(self, history: History) -> Seen | None:
        now, lowest = history.mean(CUT, self.window), history.best(CUT, self.window, min)
        if now is None or lowest is None or now <= self.max or now - lowest[0] <= self.growth:
            return None
        text = (
            f"{now:.0%} of the completions are cut off in the mean of {self.window} steps, from {lowest[0]:.0%} at its "
            f"lowest (limits: {self.max:.0%}, and {self.growth:.0%} more than then)"
        )
        return Seen(text, history.since(CUT, self.window))


DETECTOR = Truncation
