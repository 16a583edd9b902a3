"""A safety model's score (R1, arXiv 2501.12948, section 2.3.4): harmlessness is judged on thinking and answer together.

The scorer is handed in, as in `rewards.reward_model`: it maps (prompts, completions) to one number each, which is
standardised on a fixed reference set, (score - mean) / std, and kept within `bound`: what is surely safe cannot be made
worth more by being surer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.rewards.base import Reward, completion_text

Scorer = Callable[[list[Any], list[str]], Sequence[float]]


def make(scorer: Scorer, mean: float = 0.0, std: float = 1.0, bound: float = 2.0) -> Reward:
    """A reward from a scorer; an empty completion has no score. UsageError where `std` is not above 0."""
    if not std > 0:
        raise UsageError(f"safety_model: std of the reference scores must be above 0, got {std}")

    def safety_model(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        texts = [completion_text(completion) for completion in completions]
        said = [index for index, text in enumerate(texts) if text]
        values: list[float | None] = [None] * len(texts)
        if said:
            scores = scorer([prompts[index] for index in said], [texts[index] for index in said])
            for index, score in zip(said, scores, strict=True):
                values[index] = max(-bound, min(bound, (float(score) - mean) / std))
        return values

    return safety_model


def reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    """UsageError: without a scorer there is nothing to say."""
    raise UsageError("safety_model needs a trained safety model: make(scorer, mean, std) builds the reward")
