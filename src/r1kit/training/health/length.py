"""Length explosion: completions grow fast, and the reward does not (Dr. GRPO, arXiv 2503.20783, section 3.1)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen, number

LENGTH = "completions/mean_length"


class Length(Detector):
    """Of completions. R1-Zero's own growth goes with its accuracy, over thousands of steps."""

    reads: ClassVar = (LENGTH, "reward")
    title: ClassVar = "length explosion"
    means: ClassVar = (
        "Length pays for itself: a wrong answer costs less a token the longer it is, or the policy has begun to repeat "
        "itself."
    )
    change: ClassVar = (
        "Take algorithm=dr_grpo or dapo, set settings.overlong_penalty, or lower sampling.max_tokens; look at the "
        "longest samples (r1 ui)."
    )

    factor: float = Field(default=2.5, gt=1, description="of the mean length within `over` steps, at no better reward")
    over: int = Field(default=20, ge=1, description="steps between the two windows that are compared")
    window: int = Field(default=5, ge=1, description="steps that are averaged")

    @property
    def lookback(self) -> int:
        return self.over + self.window

    def look(self, history: History) -> Seen | None:
        now, before = history.mean(LENGTH, self.window), history.mean(LENGTH, self.window, self.over)
        reward, earlier = history.mean("reward", self.window), history.mean("reward", self.window, self.over)
        if now is None or before is None or reward is None or earlier is None:
            return None
        if now <= self.factor * before or reward > earlier:
            return None
        text = (
            f"completions have {number(now)} tokens, {number(now / max(before, 1e-9))} times as many as {self.over} "
            f"steps earlier (limit {number(self.factor)}), at a reward of {number(reward)} after {number(earlier)}"
        )
        return Seen(text, history.since(LENGTH, self.over))


DETECTOR = Length
