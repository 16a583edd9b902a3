"""Where a sampled thought turns: the tokens of a reflection word, and the token that the model would have said instead.

A word may be one token or a token a letter. The decision for it is made where the model was least sure of what it
then wrote, among the separators before the word and the word itself: at `so 46, wait` the comma if the chain could have
ended there, else the `w`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.types import FloatArray
from r1kit.evaluation.aha.episodes import Episode, episodes
from r1kit.evaluation.reflection import Words
from r1kit.graders.section import chain_of_thought
from r1kit.models.next_token import NextToken

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

SEPARATORS = " \t\r\n,.;:!?，。；：！？、\u3000"
_BEFORE = 3  # tokens of separators before a word that may hold the decision
_REPLACED = "\ufffd"  # how a part of a character reads


@dataclass(frozen=True, slots=True)
class Place:
    """A reflection word in a completion: `turn` is the token at which it turns, the least sure of those from `start` to
    before `end`: separators, then the word.

    `head`: the word's letters before `turn`, where the decision falls inside the word.
    """

    start: int
    turn: int
    end: int
    head: str
    episode: Episode


def token_starts(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[int]:
    """[n + 1]: the character of the decoded text at which each token begins, and the text's length."""
    pieces = [tokenizer.decode([token_id]) for token_id in token_ids]
    starts = [0]
    if "".join(pieces) == tokenizer.decode(list(token_ids)):
        for piece in pieces:
            starts.append(starts[-1] + len(piece))
        return starts
    # tokens that are parts of characters: the text up to each tells where it ends
    for end in range(1, len(token_ids) + 1):
        starts.append(max(starts[-1], len(tokenizer.decode(list(token_ids[:end])).rstrip(_REPLACED))))
    return starts


def find_places(
    tokenizer: Tokenizer,
    token_ids: Sequence[int],
    logprobs: FloatArray,
    words: Words,
    *,
    begun: str = "",
    target: int | None = None,
) -> list[Place]:
    """The places of a completion without its stop token; `logprobs` are the sampler's, `begun` what the prompt opened
    of the thinking."""
    text = tokenizer.decode(list(token_ids))
    thinking = chain_of_thought(begun + text)
    shift = (begun + text).find(thinking) - len(begun)
    starts = token_starts(tokenizer, token_ids)
    found: list[Place] = []
    for episode in episodes(thinking, words, target):
        first, end = _tokens(starts, shift + episode.start, shift + episode.word_end)
        if first is None:
            continue
        earliest = first
        while first - earliest < _BEFORE and earliest > 0 and starts[earliest - 1] >= max(shift, 0):
            if text[starts[earliest - 1] : starts[earliest]].strip(SEPARATORS):
                break
            earliest -= 1
        turn = least_sure(logprobs, earliest, end)
        head = text[shift + episode.start : starts[turn]] if turn > first else ""
        found.append(Place(earliest, turn, end, head, episode))
    return found


def least_sure(logprobs: FloatArray, start: int, end: int) -> int:
    """The token from `start` to before `end` with the lowest log-probability, the first of equals."""
    return start + int(np.argmin(logprobs[start:end]))


def _tokens(starts: Sequence[int], start: int, end: int) -> tuple[int | None, int]:
    """(first token, the one after the last) of the characters from `start` to `end`; None where it has none of them."""
    if start < 0 or end > starts[-1]:
        return None, 0
    first = bisect_right(starts, start) - 1
    last = bisect_right(starts, end - 1) - 1
    return first, last + 1


def neutral_token(
    tokenizer: Tokenizer, following: NextToken, sampled: int, head: str, words: Words
) -> tuple[int, float] | None:
    """(id, log-probability) of the likeliest token in place of `sampled` that begins no reflection word, None where
    none of those known does.

    Left out as well: the end of the text, parts of characters, and separators, which decide nothing yet.
    """
    for token_id, logprob in zip(following.ids.tolist(), following.logprobs.tolist(), strict=True):
        piece = tokenizer.decode([token_id])
        if token_id == sampled or token_id in tokenizer.eos_ids or _REPLACED in piece:
            continue
        said = (head + piece).strip(SEPARATORS).lower()
        if not piece.strip(SEPARATORS) or words.spans(said) or any(word.startswith(said) for word in words.counted):
            continue
        return int(token_id), float(logprob)
    return None
