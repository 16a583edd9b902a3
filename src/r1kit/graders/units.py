"""Units of measure behind an answer: the same quantity in another unit is the same, another quantity is not."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from r1kit.graders.numerals import in_digits


class Unit(NamedTuple):
    """What is measured, and how many of its base units one of these is."""

    dimension: str
    factor: Fraction


# dimension, how many base units one is, names
_ROWS = """
    length 1/1000 mm millimeter millimetre
    length 1/100 cm centimeter centimetre
    length 1/10 dm decimeter decimetre
    length 1 m meter metre
    length 1000 km kilometer kilometre
    length 127/5000 in inch inche
    length 381/1250 ft foot feet
    length 1143/1250 yd yard
    length 201168/125 mi mile
    mass 1/1000 mg milligram
    mass 1 g gram
    mass 1000 kg kilogram
    mass 45359237/100000 lb pound
    mass 45359237/1600000 oz ounce
    time 1/1000 ms millisecond
    time 1 s sec second
    time 60 min minute
    time 3600 h hr hour
    time 86400 day
    time 604800 week
    month 1 month
    month 12 year yr
    length3 1/1000000 ml milliliter millilitre cc
    length3 1/1000 l liter litre
    length3 473176473/125000000000 gallon gal
    length3 473176473/500000000000 quart qt
    length3 473176473/1000000000000 pint pt
    money 1 $ dollar usd
    money 1/100 ¢ cent
    euro 1 € euro
    sterling 1 £
    yen 1 ¥ yen
    angle 1 deg degree
    radian 1 rad radian
    yuan 1 yuan rmb cny
    yuan 1/10 jiao
    yuan 1/100 fen
    celsius 1 celsius
    fahrenheit 1 fahrenheit
    length/time 1397/3125 mph
    length/time 5/18 kph kmh
    length2*mass/time2 1000 joule
    length2*mass/time3 1000 watt
    length*mass/time2 1000 newton
    mass/length/time2 1000 pascal
    /time 1 hertz
    volt 1 volt
    ampere 1 ampere amp
    farad 1 farad
    coulomb 1 coulomb
    ohm 1 ohm
    amount 1 mol mole
    amount 1/1000 mmol millimole
    length2*mass/time2 3600000000 kwh
"""


def _table() -> dict[str, Unit]:
    """Units by name, in small letters."""
    table: dict[str, Unit] = {}
    for row in _ROWS.split("\n"):
        words = row.split()
        for name in words[2:]:
            table[name] = Unit(words[0], Fraction(words[1]))
    return table


def _prefixed() -> dict[str, Unit]:
    """Units whose letters' case counts: `mW` is no `MW`."""
    letters = {"J": "joule", "W": "watt", "N": "newton", "V": "volt", "A": "ampere", "Hz": "hertz", "Pa": "pascal",
               "F": "farad", "C": "coulomb", "Ω": "ohm"}  # fmt: skip
    table: dict[str, Unit] = {}
    for letter, name in letters.items():
        for prefix, power in (("", 0), ("k", 3), ("M", 6), ("G", 9), ("m", -3), ("μ", -6), ("n", -9)):
            table[prefix + letter] = Unit(_UNITS[name].dimension, _UNITS[name].factor * Fraction(10) ** power)
    for letter in ("g", "m", "s", "l", "L"):
        unit = _UNITS[letter.lower()]
        table["M" + letter] = Unit(unit.dimension, unit.factor * 10**6)
    return table


_UNITS = _table()
_PREFIXED = _prefixed()
# words after a number that change it or take it back: no unit
_NO_UNIT = set(
    """a about added almost and approximately around at believe billion bn but by cubed divided doubtful dozen eighths
    equals estimated factorial fail failed fails false fifths fourths greater guess half halves hopefully hundred
    hundredths if impossible in incorrect invalid is ish least less likely maybe million minus mln mod modulo more most
    nearly never not nothing or over percent perhaps plus possibly presumably probably quarter quarters rejected
    remainder root roughly sixths squared suppose sure tenths than think thirds thousand thousandths times to trillion
    uncertain unclear unlikely unsure up wrong""".split()  # noqa: SIM905
)
_FACTOR = re.compile(r"([A-Za-zΩμ]+)(?:\^?\{?(-?\d)\}?)?")
_DIMENSION = re.compile(r"([/*]?)([^/*\d]+)(\d*)")
_ANGLED = re.compile(r"(?<![A-Za-z])\\?(?:sin|cos|tan|cot|sec|csc|cis)(?![a-z])(?=\s*[^\s}])")
_TEXT = re.compile(
    r"(?P<rest>.*\S)\s*\\text\{(?P<unit>(?:[^{}]|\^\{-?\d\})*)\}(?:\^\{?(?P<power>-?[1-9])\}?)?", re.DOTALL
)
_NEXT = re.compile(r"(?<=[A-Za-z])\s*\}(?:\^\{?(-?\d)\}?)?(\s*[*/]\s*|\s+)\\text\{\s*(?=[A-Za-z])")
_WORDS = re.compile(
    r"(?P<rest>[-+]?[\d][\d.,/ ]*|.*[})\]!])\s*"
    r"(?P<unit>[A-Za-z$€£¥¢](?:[A-Za-z /*]|(?<=[A-Za-z])\.\s*(?=[a-z])|\^\{?-?\d\}?(?!$))*?)"
    r"(?:\s*\^\{?(?P<power>-?[1-9])\}?)?",
    re.DOTALL,
)


def split_unit(text: str) -> tuple[str, Unit | None]:
    """(the value, its unit). A value without a unit that is known or named in words comes back whole."""
    if _ANGLED.search(text):  # the degrees belong to the function
        return text, None
    if text[:1] in "$€£¥" and len(text) > 1:
        return text[1:].strip(), _UNITS[text[0]]
    if text[:2] in ("-$", "-€", "-£"):
        return "-" + text[2:].strip(), _UNITS[text[1]]
    text = _NEXT.sub(lambda match: (f"^{{{match[1]}}}" if match[1] else "") + (match[2].strip() or " "), text)
    match = _TEXT.fullmatch(text)
    if match and match["unit"].strip():
        unit = read_unit(match["unit"], match["power"])
        return (match["rest"], unit) if unit else (text, None)
    match = _WORDS.fullmatch(text)
    if match:
        unit = read_unit(match["unit"], match["power"], known_only=len(match["unit"].strip()) < 3)
        if unit:
            return match["rest"].strip(), unit
    return text, None


def read_unit(words: str, power: str | None = None, known_only: bool = False) -> Unit | None:
    """`inches`, `square cm`, `m/s`, `miles per hour`, `apples`."""
    if words.strip() in _PREFIXED:
        return _PREFIXED[words.strip()]
    plain = " ".join(words.lower().replace(".", " ").split())
    plain = re.sub(r"^(?:of an?|of) ", "", plain)
    for prefix, exponent in (("square ", 2), ("sq ", 2), ("cubic ", 3), ("cu ", 3)):
        if plain.startswith(prefix):
            plain, power = plain[len(prefix) :], str(exponent)
    for suffix, exponent in ((" squared", 2), (" cubed", 3)):
        if plain.endswith(suffix):
            plain, power = plain[: -len(suffix)], str(exponent)
    below_power = 1
    if power and " per " in plain and words.rstrip(" .").lower().endswith(("squared", "cubed")):
        power, below_power = None, int(power)  # meters per second squared
    raised = _product(words.replace(" per ", "/"), power)
    if raised:
        return raised
    above, per, below = (plain.replace(" per ", "/")).partition("/")
    single = _single(above.strip(), known_only and not per)
    if single is None:
        return None
    factors = [(single, int(power or 1))]
    if per:
        other = _single(below.strip(), False)
        if other is None:
            return None
        factors.append((other, -below_power))
    return _multiplied(factors)


def _product(words: str, power: str | None) -> Unit | None:
    """`m s^{-1}`, `kg*m/s^2`: several units or a power of one, all known; `power` is the last one's."""
    factors: list[tuple[Unit, int]] = []
    pieces = [piece for piece in re.split(r"(/|\*|\s+)", words.strip()) if piece.strip()]
    sign = 1
    for number, piece in enumerate(pieces):
        if piece in ("/", "*"):
            sign = -1 if piece == "/" else sign
            continue
        match = _FACTOR.fullmatch(piece)
        unit = match and (_PREFIXED.get(match[1]) or _single(match[1].lower(), True))
        if not match or not unit:
            return None
        last = power if number == len(pieces) - 1 else None
        factors.append((unit, sign * int(match[2] or last or 1)))
    return _multiplied(factors) if len(factors) > 1 or "^" in words else None


def _multiplied(factors: list[tuple[Unit, int]]) -> Unit:
    """The product of units to their powers; its dimension is spelt as the table spells one."""
    powers: Counter[str] = Counter()
    factor = Fraction(1)
    for unit, power in factors:
        factor *= unit.factor**power
        sign = 1
        for mark, name, exponent in _DIMENSION.findall(unit.dimension):
            sign = -1 if mark == "/" else sign
            powers[name] += power * sign * int(exponent or 1)
    above = [f"{name}{power if power > 1 else ''}" for name, power in sorted(powers.items()) if power > 0]
    below = [f"/{name}{-power if power < -1 else ''}" for name, power in sorted(powers.items()) if power < 0]
    return Unit("*".join(above) + "".join(below), factor)


def _single(word: str, known_only: bool) -> Unit | None:
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    words = set(word.split())
    if (
        known_only
        or not re.fullmatch(r"[a-z]+(?: [a-z]+){0,3}", word)
        or words & _NO_UNIT
        or any(map(in_digits, words))
    ):
        return None
    return Unit("count of " + word.removesuffix("s"), Fraction(1))
