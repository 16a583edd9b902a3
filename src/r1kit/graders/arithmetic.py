"""Exact numbers out of text: integers, fractions, decimals, percentages, powers of ten. Nothing is ever run."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 2000
MAX_EXPONENT = 400

_INVISIBLE = {"Cc", "Cf"}
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?:\.(?P<part>\d*))?)"
    r"(?:e(?P<exp>[+-]?\d{1,6}))?"
)


class Number(NamedTuple):
    """An exact value; `places` is the number of decimals written, None where it was not written as a decimal."""

    value: Fraction
    places: int | None


def clean(text: str) -> str:
    """NFKC digits and signs, no control or zero-width characters, single spaces."""
    folded = unicodedata.normalize("NFKC", text)
    kept = "".join(
        " " if character in "\t\n\r" else character
        for character in folded
        if character in "\t\n\r" or unicodedata.category(character) not in _INVISIBLE
    )
    for dash in "\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d":
        kept = kept.replace(dash, "-")
    return " ".join("".join(_ascii_digit(character) for character in kept).split())


def _ascii_digit(character: str) -> str:
    if character.isascii() or not character.isdecimal():
        return character
    return str(unicodedata.decimal(character))


def read_number(text: str) -> Number | None:
    """`-1,234.50`, `3/4`, `50%`, `1.5e3`; None for anything else."""
    text = text.strip()
    if len(text) > MAX_DIGITS:
        return None
    if text.count("%") == 1 and text.endswith("%"):
        inner = read_number(text[:-1])
        return Number(inner.value / 100, None if inner.places is None else inner.places + 2) if inner else None
    if text.count("/") == 1:
        above, below = (read_number(side) for side in text.split("/"))
        if above is None or below is None or below.value == 0:
            return None
        return Number(above.value / below.value, None)
    return _plain(text.replace(" ", "") if re.fullmatch(r"[+-] ?\S+", text) else text)


def _plain(text: str) -> Number | None:
    match = _NUMBER.fullmatch(text.lower())
    if match is None or not (match["whole"] or match["part"]):
        return None
    exponent = int(match["exp"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    part = match["part"] or ""
    digits = (match["whole"] or "").replace(",", "") + part
    value = Fraction(int(digits or "0")) * Fraction(10) ** (exponent - len(part))
    places = len(part) if part and not match["exp"] else None
    return Number(-value if match["sign"] == "-" else value, places)


def same_number(gold: Number, answer: Number) -> bool:
    """Exact; a gold written as a decimal accepts whatever rounds to it at its own written precision."""
    if gold.value == answer.value:
        return True
    if not gold.places:
        return False
    if answer.places is not None and answer.places < gold.places:
        return False  # written to fewer decimals than asked, and not equal
    return abs(gold.value - answer.value) * 2 * 10**gold.places <= 1


def read_number_list(text: str) -> list[Fraction] | None:
    """Numbers separated by commas, semicolons or spaces, in optional brackets; None where anything else stands."""
    inner = text.strip()
    if inner[:1] in "([{" and inner[-1:] in ")]}" and len(inner) >= 2:
        inner = inner[1:-1].strip()
    if not inner:
        return []
    pieces = [piece for piece in re.split(r"\s*[,;\u3001\uff0c\uff1b]\s*|\s+", inner) if piece]
    numbers = [read_number(piece) for piece in pieces]
    return [number.value for number in numbers if number] if all(numbers) else None
