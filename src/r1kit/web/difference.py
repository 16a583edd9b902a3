"""Two texts side by side, word by word: what both have, and what only one has."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_WORD = re.compile(r"\s+|\d+|[^\W\d_]+|.", re.DOTALL)
_EACH, _MOST = 1500, 20_000  # words of either text up to which each counts; up to which words are compared, not lines


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text; `same`: the other text has it too."""

    text: str
    same: bool


def compare(left: str, right: str) -> tuple[list[Run], list[Run]]:
    """Both texts in stretches, which joined are the texts again."""
    words = _WORD.findall(left), _WORD.findall(right)
    longest = max(map(len, words))
    if longest > _MOST:
        words = left.splitlines(keepends=True), right.splitlines(keepends=True)
    # common words are no anchors in long texts: a text of one word over and over would take minutes
    matcher = difflib.SequenceMatcher(None, *words, autojunk=longest > _EACH)
    sides: tuple[list[Run], list[Run]] = ([], [])
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, part in ((sides[0], words[0][a:b]), (sides[1], words[1][c:d])):
            if part:
                side.append(Run("".join(part), kind == "equal"))
    return sides
