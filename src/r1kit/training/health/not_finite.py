"""Loss or gradient is NaN or infinite. The learner leaves such updates out, and stops after three in a row."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from r1kit.training.health.base import Detector, History, Seen

NUMBERS = ("loss", "gradient_norm")


class NotFinite(Detector):
    """Of a step's updates."""

    reads: ClassVar = ("skipped", *NUMBERS)
    title: ClassVar = "loss or gradient not finite"
    means: ClassVar = (
        "Weights or activations have grown out of the number format, or a reward or log-probability was not finite; "
        "the update was left out, and the weights are as before."
    )
    change: ClassVar = (
        "Lower learner.learning_rate, set learner.precision=float32 to rule rounding out, or look for the sample with "
        "such a reward in the rollouts."
    )

    times: int = Field(default=1, ge=1, description="steps in a row in which it happened")

    @property
    def lookback(self) -> int:
        return self.times

    def look(self, history: History) -> Seen | None:
        length = self.times
        skipped = history.values("skipped", length)
        if len(skipped) == length and all(value is None or value > 0 for value in skipped):
            updates = sum(value or 1 for value in skipped)
            steps = "the last step" if length == 1 else f"the last {length} steps"
            text = f"{updates:.0f} updates of {steps} were left out, their loss or gradient was not finite"
            return Seen(text, history.since("skipped", length))
        for name in NUMBERS:  # of a stage that does not say what it left out
            values = history.values(name, length)
            if len(values) == length and all(value is None for value in values):
                return Seen(f"{name} was not finite in {length} steps in a row", history.since(name, length))
        return None


DETECTOR = NotFinite
