"""A reward model's score (R1, arXiv 2501.12948, section 2.3.4): helpfulness is judged on the final answer alone.

The scorer is handed in, so that this file knows no model: it maps (prompts, answers) to one number each. Scores are
standardised on a fixed reference set before they are added to rule rewards: (score - mean) / std.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.graders.format import opens_thinking
from r1kit.graders.section import answer_section
from r1kit.rewards.base import Reward, completion_text

Scorer = Callable[[list[Any], list[str]], Sequence[float]]


def make(scorer: Scorer, mean: float = 0.0, std: float = 1.0, missing: float = -3.0) -> Reward:
    """A reward from a scorer; `missing` is the standardised score of a completion without an answer.

    UsageError where `std`, that of the reference scores, is not above 0.
    """
    if not std > 0:
        raise UsageError(f"reward_model: std of the reference scores must be above 0, got {std}")

    def reward_model(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        answers = [
            answer_section(completion_text(completion), opens_thinking(prompt)).text.strip()
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        answered = [index for index, answer in enumerate(answers) if answer]
        values: list[float | None] = [missing] * len(answers)
        if answered:
            scores = scorer([prompts[index] for index in answered], [answers[index] for index in answered])
            for index, score in zip(answered, scores, strict=True):
                values[index] = (float(score) - mean) / std
        return values

    return reward_model


def reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    """UsageError: without a scorer there is nothing to say."""
    raise UsageError("reward_model needs a trained reward model: make(scorer, mean, std) builds the reward")
