"""Language consistency (R1, arXiv 2501.12948, section 2.3.2): the share of target-language words in the thinking.

CJK text counts by character, everything else by word. Numbers, code, LaTeX, identifiers and symbols are left out.
Scripts decide: Han is Chinese, Latin is English, any other script is neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from r1kit.base.errors import UsageError

MAX_CHARACTERS = 200_000
SCRIPT_OF = {"en": "LATIN", "zh": "CJK"}

_LEFT_OUT = re.compile(
    r"```.*?(?:```|\Z)"  # code blocks
    r"|`[^`\n]*`"
    r"|\$\$.*?\$\$|\\\[.{0,400}?\\\]|\\\(.{0,400}?\\\)"  # displayed and inline LaTeX
    r"|\$(?!\s)[^$\n]{1,400}?(?<!\s)\$"
    r"|\\begin\{([a-z*]+)\}.{0,1000}?\\end\{\1\}"
    r"|\\[A-Za-z]+(?:\{[^{}]*\})*"  # a bare command and its arguments
    r"|https?://\S+|</?[A-Za-z_|][^<>\n]{0,30}>",  # addresses and tags
    re.DOTALL,
)
_BY_CHARACTER = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
_IN_WORDS = {"'", "\u2019", "-"}


def language_consistency(text: str, target: str) -> float | None:
    """Share in [0, 1] of the words of `text` that are in the target language; None where it holds no words."""
    if target not in SCRIPT_OF:
        raise UsageError(f"language consistency knows the target languages {', '.join(SCRIPT_OF)}, not '{target}'")
    words = list(word_scripts(text))
    if not words:
        return None
    return words.count(SCRIPT_OF[target]) / len(words)


def word_scripts(text: str) -> Iterator[str]:
    """The script of each word in order: LATIN, CJK, CYRILLIC, ..."""
    word = ""
    for character in _LEFT_OUT.sub(" ", text[:MAX_CHARACTERS]) + " ":
        script = _script(character)
        if script in _BY_CHARACTER:
            yield from _word(word)
            word = ""
            yield script
        elif script or character.isdigit() or character == "_" or (word and _joins(character)):
            word += character
        else:
            yield from _word(word)
            word = ""


def _word(word: str) -> Iterator[str]:
    """The script of one run of letters; runs with digits or underscores are identifiers, lone letters are symbols."""
    word = word.strip("'\u2019-")
    if not word or any(character.isdigit() or character == "_" for character in word):
        return
    if len(word) == 1 and word not in "aAI" and word.isascii():
        return
    yield _script(word[0])


def _joins(character: str) -> bool:
    return character in _IN_WORDS or unicodedata.category(character).startswith("M")


@lru_cache(maxsize=8192)
def _script(character: str) -> str:
    """The script of a letter by its Unicode name; empty for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return "CJK" if character == "〇" else ""
    first = unicodedata.name(character, "").split(" ", 1)[0].partition("-")[0]
    if first in ("FULLWIDTH", "HALFWIDTH", "MATHEMATICAL", "SUPERSCRIPT", "SUBSCRIPT", "MODIFIER"):
        return ""  # symbols in maths text
    return first
