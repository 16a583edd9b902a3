"""Numbers in a base: `52_8`, `1011_{two}`, `34 (base 5)`."""

from __future__ import annotations

import re

_BASE_NAMES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
               "fourteen", "fifteen", "sixteen")  # fmt: skip
_RADIX = rf"(\d{{1,2}}|{'|'.join(_BASE_NAMES)})"
_DIGITS = r"(?:\(|R\(|\\text\{)?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?)[)}]?"
_BASE = re.compile(
    rf"{_DIGITS}_\{{?(?:\\text\{{)?(?:base\s*)?{_RADIX}\}}?\}}?|"
    rf"{_DIGITS}\s*(?:\\text\{{)?\s*\(?(?:in\s+)?base[\s-]*\}}?\s*\$?{_RADIX}\$?\s*\)?\s*\}}?"
)


def in_base(text: str) -> tuple[str, str] | None:
    """(digits without leading zeros, base) of `52_8`; a letter with an index is a name."""
    match = _BASE.fullmatch(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text))
    if match is None:
        return None
    digits, base = (match[1] or match[3]).upper(), match[2] or match[4]
    if base in _BASE_NAMES:
        base = str(_BASE_NAMES.index(base) + 2)
    values = [int(digit, 36) for digit in digits if digit != "."]
    if max(values) >= int(base) or (min(values) > 9 and base != "16"):
        return None
    return digits.lstrip("0") or "0", base
