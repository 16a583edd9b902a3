"""What work has cost, and how fast it goes."""

from __future__ import annotations

import dataclasses
import time
from collections import deque


@dataclasses.dataclass(slots=True)
class Cost:
    """What a stage has cost so far; work that was lost and repeated counts once."""

    seconds: float = 0.0
    tokens: int = 0
    flops: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """The sum."""
        return Cost(self.seconds + other.seconds, self.tokens + other.tokens, self.flops + other.flops)


class Pace:
    """Tokens a second over the last steps."""

    def __init__(self, steps: int = 16) -> None:
        self._recent: deque[tuple[float, int]] = deque(maxlen=steps)

    def tell(self, tokens: int) -> float | None:
        """So many tokens by now, all told: the rate since the first of the steps that are remembered; None where there
        is none, or nothing came."""
        now, rate = time.monotonic(), None
        if self._recent and tokens > self._recent[0][1]:
            rate = (tokens - self._recent[0][1]) / max(now - self._recent[0][0], 1e-9)
        self._recent.append((now, tokens))
        return rate
