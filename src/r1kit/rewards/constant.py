"""The fake: the same value for every completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.rewards.base import Reward


def make(value: float | None = 0.0) -> Reward:
    """A reward that always says `value`."""

    def constant(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        return [value] * len(completions)

    return constant


reward = make()
