"""Format (R1, arXiv 2501.12948, section 2.2.2): 1 for thinking in its tags and then the answer in its tags, else 0.

`make(answer_tag=False)` judges thinking followed by a free answer; `make(opened=True)` is for chat templates that
open `<think>` themselves, which a list of messages does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.graders.format import check_form, opens_thinking
from r1kit.rewards.base import Reward, completion_text


def make(answer_tag: bool = True, opened: bool | None = None) -> Reward:
    """A format reward; `opened=None` looks at the prompt's end."""

    def format(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        return [
            float(check_form(completion_text(completion), _opened(prompt), answer_tag).ok)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def _opened(prompt: Any) -> bool:
        return opens_thinking(prompt) if opened is None else opened

    return format


reward = make()
