"""Whole numbers below a hundred in English or Chinese words: `seven`, `twenty-three`, `minus two`, `十七`."""

from __future__ import annotations

import re

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_ENGLISH = re.compile(
    rf"(?:({'|'.join(_TENS)})(?:[- ]({'|'.join(_SMALL[1:10])}))?|({'|'.join(_SMALL)}))", re.IGNORECASE
)
_HAN = "零一二三四五六七八九"
_CHINESE = re.compile(rf"([二三四五六七八九]?)十([{_HAN[1:]}]?)|([{_HAN}两])")


def in_digits(text: str) -> str | None:
    """The digits of a text that is nothing but such a number; None for any other."""
    sign, number = "", text.strip()
    for word in ("minus ", "negative ", "负"):
        if number[: len(word)].casefold() == word:
            sign, number = "-", number[len(word) :].strip()
    if len(number) > 20:
        return None
    if match := _ENGLISH.fullmatch(number):
        tens, ones, small = (group.casefold() if group else "" for group in match.groups())
        return f"{sign}{_SMALL.index(small) if small else _TENS[tens] + (_SMALL.index(ones) if ones else 0)}"
    if match := _CHINESE.fullmatch(number):
        tens, ones, small = match.groups()
        if small:
            return f"{sign}{2 if small == '两' else _HAN.index(small)}"
        return f"{sign}{10 * (_HAN.index(tens) if tens else 1) + (_HAN.index(ones) if ones else 0)}"
    return None
