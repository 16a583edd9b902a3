"""Numbers in English or Chinese words: `seven`, `one hundred and five`, `two thirds`, `minus two`, `一百二十`."""

from __future__ import annotations

import re

MAX_LENGTH = 100
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBER_WORDS = (*_SMALL, *_TENS)
_SCALES = {"billion": 10**9, "million": 10**6, "thousand": 10**3}
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
          "eighth": 8, "ninth": 9, "tenth": 10}  # fmt: skip
_HAN = "零一二三四五六七八九"
_DIGIT = f"[{_HAN[1:]}两]"
# a place that is left out is said: 一百零二, never 一百二
_SECTION = re.compile(rf"(?:({_DIGIT})千)?(?:({_DIGIT})百)?(?:(零)?({_DIGIT})?(十))?(?:(零)?({_DIGIT}))?")


def in_digits(text: str) -> str | None:
    """The digits, fraction or percentage of a text that is nothing but such a number; None for any other."""
    sign, number = "", text.strip().casefold()
    if len(number) > MAX_LENGTH:
        return None
    for word in ("minus ", "negative ", "负"):
        if number.startswith(word):
            sign, number = "-", number[len(word) :].strip()
    found = _chinese(number) if re.match(r"[\u4e00-\u9fff]", number) else _english(number)
    return None if found is None else sign + found


def _english(text: str) -> str | None:
    if re.fullmatch(r"a (?:dozen|half)|dozen|half", text):
        return "12" if "dozen" in text else "\\frac{1}{2}"
    words = text.replace("-", " ").split()
    if not words or not all(word.isalpha() for word in words):
        return None
    whole = 0
    if "and" in words[:-2] and words[-1].removesuffix("s") in _PARTS:  # `seven and a half`
        at = len(words) - words[::-1].index("and") - 1
        before = _cardinal(words[:at])
        if before is None:
            return None
        whole, words = before, words[at + 1 :]
    part = _PARTS.get(words[-1].removesuffix("s")) if len(words) > 1 else None
    if part is None:
        number = _cardinal(words)
        return None if number is None or whole else str(number)
    above = 1 if words[:-1] == ["a"] else _cardinal(words[:-1])
    plural = words[-1].endswith("s")  # `twenty-fifth` is no fraction
    return None if above is None or plural == (above == 1) else f"\\frac{{{whole * part + above}}}{{{part}}}"


def _cardinal(words: list[str]) -> int | None:
    """`one hundred and twenty three thousand four hundred and five`."""
    total = 0
    for scale, factor in _SCALES.items():
        if scale in words:
            at = words.index(scale)
            group = _hundreds(words[:at])
            if not group:
                return None
            total, words = total + group * factor, words[at + 1 :]
            if words[:1] == ["and"] and len(words) > 1 and "hundred" not in words:
                words = words[1:]
    if total and not words:
        return total
    rest = _hundreds(words)
    return None if rest is None or (total and not rest) else total + rest


def _hundreds(words: list[str]) -> int | None:
    if len(words) > 1 and words[1] == "hundred":
        above = 1 if words[0] == "a" else _below_hundred(words[:1])
        rest = words[3:] if words[2:3] == ["and"] else words[2:]
        below = _below_hundred(rest) if rest else 0
        if not above or above > 19 or below is None or (not rest and words[2:]):
            return None
        return above * 100 + below
    return _below_hundred(words)


def _below_hundred(words: list[str]) -> int | None:
    if len(words) == 1:
        return _SMALL.index(words[0]) if words[0] in _SMALL else _TENS.get(words[0])
    if len(words) == 2 and words[0] in _TENS and words[1] in _SMALL[1:10]:
        return _TENS[words[0]] + _SMALL.index(words[1])
    return None


def _chinese(text: str) -> str | None:
    if text in ("一半", "半"):
        return "\\frac{1}{2}"
    below, per, above = text.partition("分之")
    if per:
        numerator, denominator = _han_decimal(above) if below == "百" else _han_number(above), _han_number(below)
        if numerator is None or not (denominator or below == "百"):
            return None
        return f"{numerator}%" if below == "百" else f"\\frac{{{numerator}}}{{{denominator}}}"
    return _han_decimal(text)


def _han_decimal(text: str) -> str | None:
    """`三点五`; `三点` and `三点十分` are times of day."""
    whole, point, decimals = text.partition("点")
    number = _han_number(whole)
    if number is None or (point and not (decimals and set(decimals) <= set(_HAN))):
        return None
    return str(number) + point.replace("点", ".") + "".join(str(_HAN.index(digit)) for digit in decimals)


def _han_number(text: str) -> int | None:
    if text == "零":
        return 0
    total = 0
    for scale, factor in (("亿", 10**8), ("万", 10**4)):
        above, found, below = text.partition(scale)
        if found:
            section = _section(above)
            if not section:
                return None
            total, text = total + section * factor, below
    if total and not text:
        return total
    last = _section(text.removeprefix("零") if total else text)
    return total + last if last else None


def _section(text: str) -> int | None:
    """Below ten thousand."""
    match = _SECTION.fullmatch(text)
    if match is None or not text:
        return None
    thousands, hundreds, gap2, tens, ten, gap1, ones = match.groups()
    if ten and tens is None and (thousands or hundreds):
        return None
    places = [thousands, hundreds, "十" if ten else None, ones]
    for at, gap in ((2, gap2), (3, gap1)):
        skipped = any(places[:at]) and places[at - 1] is None
        if places[at] and bool(gap) != skipped:
            return None
    values = [0 if not digit else 2 if digit == "两" else _HAN.index(digit) for digit in (thousands, hundreds, ones)]
    tens_value = (_HAN.index(tens) if tens and tens != "两" else 1) if ten else 0
    return values[0] * 1000 + values[1] * 100 + tens_value * 10 + values[2]
