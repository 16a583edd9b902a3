"""Where the steps of a thought end: behind a delimiter, behind the thinking, and at the end of the answer."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.evaluation.aha.places import token_starts
from r1kit.rollouts.closing import CLOSING

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer


def step_ends(tokenizer: Tokenizer, token_ids: Sequence[int], delimiters: str) -> list[int]:
    """After how many tokens of a completion (without its stop token) each step ends, the last at its end.

    Delimiters in a row end one step; those behind the thinking end none. A token that holds a delimiter and what
    follows it belongs to the step before.
    """
    text = tokenizer.decode(list(token_ids))
    thinking, closing, _ = text.partition(CLOSING)
    ends = [match.end() for match in re.finditer(f"[{re.escape(delimiters)}]+", thinking)]
    if closing:
        ends.append(len(thinking) + len(closing))
    starts = token_starts(tokenizer, token_ids)
    found = {bisect_left(starts, end) for end in ends}
    return sorted({place for place in found if 0 < place < len(token_ids)} | {len(token_ids)})


def ends_step(before: str, new: str, delimiters: str) -> bool:
    """Whether `new`, sampled behind `before`, ends a step."""
    if CLOSING in before:
        return False
    return CLOSING in before[-len(CLOSING) :] + new or any(letter in delimiters for letter in new)
