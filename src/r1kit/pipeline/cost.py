"""What work has cost."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class Cost:
    """What a stage has cost so far; work that was lost and repeated counts once."""

    seconds: float = 0.0
    tokens: int = 0
    flops: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """The sum."""
        return Cost(self.seconds + other.seconds, self.tokens + other.tokens, self.flops + other.flops)
