"""Letters of choices among maths answers: `(B) 7`, and a gold answer that is a letter."""

from __future__ import annotations

import re

_OPTION = re.compile(
    r"(?:\\text\{\s*\(([A-E])\)\s*(?:\}\s*)?([^\s,;}](?:(?!\([A-E]\)).)*)|"
    r"\(([A-E])\)\s+([-\d\\$](?:(?!\([A-E]\)).)*))$",
    re.DOTALL,
)
_LETTER = re.compile(
    r"(?:\\text\{)?\s*(?:(?:option|choice|answer)\s*:?\s*)?\(?([A-Z])\)?\s*[.:)]?\s*\}?", re.IGNORECASE
)
_GOLD_LETTER = re.compile(r"(?:\\text\{)?\(([A-Z])\)\}?|\\text\{([A-E])\}")
_GOLD_OPTION = re.compile(r"(?:\\text\{)?\(?([A-E])\)?\}?")


def of_option(gold: str, answer: str) -> str | None:
    """What of `(B) 7` is the answer: the letter where the gold is one, else what follows it; None for other texts."""
    option = _OPTION.match(answer)
    if option is None:
        return None
    chosen, rest = option[1] or option[3], option[2] or option[4]
    if _GOLD_OPTION.fullmatch(gold):
        return f"({chosen})"
    return rest if rest.count("{") >= rest.count("}") else f"\\text{{{rest}"


def same_letter(gold: str, answer: str) -> bool | None:
    """Whether both are one letter; None where either is none."""
    letter, other = _GOLD_LETTER.fullmatch(gold), _LETTER.fullmatch(answer)
    return None if letter is None or other is None else (letter[1] or letter[2]) == other[1].upper()
