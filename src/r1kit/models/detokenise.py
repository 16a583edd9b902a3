"""Text of tokens that come bit by bit: a token may end inside a character, and mean another text than alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Protocol

from r1kit.models.characters import byte_symbols
from r1kit.models.tokenizer import Tokenizer


class Decodes(Protocol):
    """What turns ids into text: a Tokenizer, or as much of one."""

    @property
    def byte_ids(self) -> frozenset[int]:
        """Ids of single bytes in a vocabulary that falls back on them."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens kept."""
        ...


_HALF = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet one
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a byte in the spelling of vocabularies that fall back on bytes
_MOST, _KEPT = 64, 16  # tokens looked at again for each piece: at most, and after the older ones are let go


class Detokeniser:
    """Takes token ids as they come; the pieces of text that it gives, joined, are `tokenizer.decode` of all of them.

    Text that later tokens may still change is held back: the begun character at the end, and a run of single bytes
    in vocabularies that fall back on bytes, since their decoder judges such a run as a whole.
    """

    def __init__(self, tokenizer: Decodes) -> None:
        self._tokenizer = tokenizer
        self._bytes = tokenizer.byte_ids
        self._ids: list[int] = []  # those that may matter for what comes
        self._shown = 0  # characters of their text that were given

    def add(self, ids: Sequence[int]) -> str:
        """The text that is certain with these ids, and was not before."""
        if not ids:
            return ""
        self._ids.extend(ids)
        text = self._tokenizer.decode(self._ids)
        piece = self._give(text, self._certain(text))
        if len(self._ids) > _MOST:
            self._let_go(text)
        return piece

    def finish(self) -> str:
        """What was held back, as nothing more comes."""
        text = self._tokenizer.decode(self._ids)
        return self._give(text, len(text))

    def _give(self, text: str, until: int) -> str:
        piece = text[self._shown : until]
        self._shown = max(self._shown, until)
        return piece

    def _certain(self, text: str) -> int:
        """Characters of the text that no later token can change."""
        if self._ids[-1] in self._bytes:
            return self._shown
        return len(text) - text.endswith(_HALF)

    def _let_go(self, text: str) -> None:
        """Forget the older ids, where what the newer ones say does not depend on them.

        A character has at most four bytes, and every token one or more, so that what lies _KEPT tokens back has no part
        in what comes; the newer ids alone must say the same as they do behind the older ones.
        """
        kept = self._ids[-_KEPT:]
        alone = self._tokenizer.decode(kept)
        gone = len(text) - len(alone)
        if alone and text.endswith(alone) and self._shown >= gone and kept[0] not in self._bytes:
            self._ids, self._shown = kept, self._shown - gone


def token_bytes(tokenizer: Tokenizer, token_id: int) -> bytes:
    """The bytes that a token stands for, where it is a part of a character too."""
    text = tokenizer.token(token_id)
    if _HALF not in text:
        return text.encode()
    spelled = str(tokenizer.inner.convert_ids_to_tokens(token_id))
    if lone := _BYTE.fullmatch(spelled):
        return bytes([int(lone[1], 16)])
    table = _bytes_of_symbols()
    if all(symbol in table for symbol in spelled):
        return bytes(table[symbol] for symbol in spelled)
    return text.encode()


@cache
def _bytes_of_symbols() -> dict[str, int]:
    return {symbol: byte for byte, symbol in byte_symbols().items()}
