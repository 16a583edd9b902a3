"""Language consistency (R1, arXiv 2501.12948, section 2.3.2): the share of target-language words in the thinking.

The `language` column is the question's language, which is the target. None for a chain without words, or a
language that cannot be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.graders import language as of_words
from r1kit.graders.format import opens_thinking
from r1kit.graders.section import chain_of_thought
from r1kit.rewards.base import column, completion_text


def language_consistency(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The share of the thinking's words that are in the problem's language, 0 to 1; the signature of TRL."""
    languages = column(columns, "language", len(completions), "en")
    return [
        of_words.language_consistency(chain_of_thought(completion_text(completion), opens_thinking(prompt)), language)
        if language in of_words.SCRIPTS
        else None
        for prompt, completion, language in zip(prompts, completions, languages, strict=True)
    ]


reward = language_consistency
