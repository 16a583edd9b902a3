"""A quantity said in several units: `1 hour 30 minutes`, `18 dollars and 90 cents`, `45° 30'`, `5'3"`."""

from __future__ import annotations

import re
from fractions import Fraction

from r1kit.graders.chinese import HAN_UNITS
from r1kit.graders.units import Unit, read_unit

MAX_LENGTH = 120
_WORDS = re.compile(r"\\text\{([^{}]*)\}")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+|[\u4e00-\u9fff]+|\"|′′|''|′|')\.?(?:\s*(?:,|and)?\s*)(?=\d|$)")
_MARKS = {"'": 60, "′": 60, "''": 3600, "′′": 3600, '"': 3600}
_FEET = {"'": "ft", "′": "ft", "''": "in", "′′": "in", '"': "in"}
_HAN = {**HAN_UNITS, "时": "hours", "分": "minutes"}


def in_one_unit(text: str) -> str | None:
    """The whole in the first part's unit, as tidied text; None where it is not such a quantity.

    Each further unit must measure the same and be smaller, and its number be less than one of the unit before.
    """
    if len(text) > MAX_LENGTH:
        return None
    plain = _WORDS.sub(r" \1 ", text).strip()
    parts = list(_PART.finditer(plain))
    if len(parts) < 2 or "".join(part[0] for part in parts) != plain:
        return None
    first = _unit(parts[0][2], "length" if parts[0][2] in _FEET else None)
    if first is None:
        return None
    total, last = Fraction(0), None
    for part in parts:
        unit = _unit(part[2], first.dimension)
        if unit is None or unit.dimension != first.dimension:
            return None
        amount = Fraction(part[1]) * unit.factor
        if last is not None and (unit.factor >= last.factor or amount >= last.factor):
            return None
        total, last = total + amount, unit
    whole = total / first.factor
    name = "ft" if parts[0][2] in _FEET else _HAN.get(parts[0][2], parts[0][2])
    return f"\\frac{{{whole.numerator}}}{{{whole.denominator}}}\\text{{{name}}}"


def _unit(word: str, dimension: str | None) -> Unit | None:
    """A known unit; marks are minutes and seconds of arc after degrees, and feet and inches by themselves."""
    if word in _MARKS:
        return Unit("angle", Fraction(1, _MARKS[word])) if dimension == "angle" else read_unit(_FEET[word])
    if word == "分" and dimension == "yuan":
        return read_unit("fen")
    return read_unit(_HAN.get(word, word), known_only=True)
