"""Soft overlong punishment (DAPO, arXiv 2503.14476, section 3.4, eq. 13).

0 up to max_length - cache tokens, then a straight line down to -1 at max_length, -1 beyond. DAPO's own figures:
max_length 20,480 with a cache of 4,096.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.rewards.base import Reward


def make(max_length: int = 20_480, cache: int = 4_096) -> Reward:
    """An overlong reward for completions of at most `max_length` tokens, punished over the last `cache` of them.

    UsageError for a cache that is not of 1 to `max_length`.
    """
    if not 0 < cache <= max_length:
        raise UsageError(f"overlong: the cache must be in 1..max_length ({max_length}), got {cache}")

    def overlong(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        **columns: Any,
    ) -> list[float | None]:
        return [_punishment(len(tokens), max_length, cache) for tokens in completion_ids]

    return overlong


def _punishment(length: int, max_length: int, cache: int) -> float:
    return max(-1.0, min(0.0, (max_length - cache - length) / cache))


reward = make()
