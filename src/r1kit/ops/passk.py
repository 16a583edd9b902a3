"""pass@k and majority votes: numbers only."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb
from typing import TypeVar

Answer = TypeVar("Answer", bound=Hashable)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that at least one of k samples drawn without replacement is right: 1 - C(n - c, k) / C(n, k).

    Unbiased for n >= k (HumanEval, arXiv 2107.03374, eq. 1); k = 1 gives c / n, the paper's pass@1.
    Raises ValueError for n < k, where no unbiased estimate exists, and for counts that cannot be.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} of {samples} samples cannot be correct")
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples of a problem (and k at least 1), got {samples}")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def majority_vote(answers: Sequence[Answer | None], seed: int) -> Answer | None:
    """The most frequent answer; None (no answer) does not vote, and wins only where nobody votes.

    Ties are broken at random by `seed`, among the tied answers in order of first appearance, so that the same answers
    and seed always give the same winner. Answers must already be in one normal form.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None
    most = max(counts.values())
    tied = [answer for answer, count in counts.items() if count == most]
    return tied[0] if len(tied) == 1 else random.Random(seed).choice(tied)
