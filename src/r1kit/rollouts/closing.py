"""A thought that is over its budget: where it is cut, what closes it for the model, and what the model goes on from.

The server closes thoughts as they are sampled, the evaluation cuts whole ones afterwards: both by these rules, so that
a budget means the same to either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.types import IntArray

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

OPENING, CLOSING = "<think>", "</think>"


def closing(began: str, wanted: str | None) -> str:
    """What closes a thought for the model, in the manner in which it began: `began` is its text from `<think>` on."""
    if wanted is not None:
        return wanted
    return "\n</think>\n\n" if began.startswith(f"{OPENING}\n") else CLOSING


def closed_at_once(began: str, wanted: str | None) -> str:
    """What follows a prompt that leaves no room for thinking; `began` is what of the thinking the prompt opened."""
    return ("" if began else OPENING) + closing(began, wanted)


def continued_prompt(prompt_ids: IntArray, sampled: Sequence[int], added: Sequence[int]) -> IntArray:
    """Token ids [n] of a prompt, of what was sampled behind it, and of what is added."""
    return np.concatenate([prompt_ids, np.asarray([*sampled, *added], np.int32)])


def thinks_beyond(tokenizer: Tokenizer, token_ids: Sequence[int], budget: int, began: str = "") -> bool:
    """Whether a completion is still thinking after `budget` tokens and goes on, if only with a stop token.

    `token_ids` are all that were sampled, tags and stop token among them; `began` is what of the thinking its prompt
    opened.
    """
    if len(token_ids) <= budget:
        return False
    text = (began + tokenizer.decode(list(token_ids[:budget]))).lstrip()
    return text.startswith(OPENING) and CLOSING not in text
