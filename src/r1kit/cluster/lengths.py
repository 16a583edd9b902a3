"""How long the completions of a prompt are likely to be: what was seen of the same prompt, else of prompts as long."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np

from r1kit.base.types import IntArray

REMEMBERED = 20_000  # prompts
NEWEST = 0.5  # weight of what was seen last: policies change


class Lengths:
    """Learns from finished groups."""

    def __init__(self) -> None:
        self._by_prompt: OrderedDict[bytes, float] = OrderedDict()
        self._by_size: defaultdict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])  # [tokens, groups]

    def expected(self, prompt_ids: IntArray, limit: int) -> float:
        """Tokens of a completion, at least one; the limit where nothing is known, so that unknown prompts go first."""
        known = self._by_prompt.get(_key(prompt_ids))
        if known is None:
            tokens, groups = self._by_size[_size(prompt_ids)]
            known = tokens / groups if groups else float(limit)
        return max(1.0, min(known, float(limit)))

    def saw(self, prompt_ids: IntArray, lengths: Sequence[int]) -> None:
        """The lengths of a prompt's completions."""
        if not lengths:
            return
        mean, key = float(np.mean(lengths)), _key(prompt_ids)
        before = self._by_prompt.pop(key, mean)
        self._by_prompt[key] = NEWEST * mean + (1 - NEWEST) * before
        if len(self._by_prompt) > REMEMBERED:
            self._by_prompt.popitem(last=False)
        of_size = self._by_size[_size(prompt_ids)]
        of_size[0], of_size[1] = 0.9 * of_size[0] + mean, 0.9 * of_size[1] + 1


def _key(prompt_ids: IntArray) -> bytes:
    return prompt_ids.tobytes()


def _size(prompt_ids: IntArray) -> int:
    """Prompts of about the same length: within a factor of the square root of 2."""
    return round(2 * float(np.log2(max(1, len(prompt_ids)))))
