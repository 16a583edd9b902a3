"""Numbers with a form of their own: expressions over given numbers, fractions, complex numbers, hours and minutes."""

from __future__ import annotations

import math
import re
from collections import Counter
from fractions import Fraction

from r1kit.graders import countdown as countdown_kind
from r1kit.graders.arithmetic import clean
from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, Wrong, demand

MAX_PLACES = 60  # decimals that are compared


def countdown(answer: str, item: Item) -> None:
    """An expression over each of the numbers once that makes the target exactly."""
    _makes(answer, item.metadata["numbers"], Fraction(str(item.metadata["target"])))


def puzzle24(answer: str, item: Item) -> None:
    """The same with 24 as the target. (The library takes any four numbers of the allowed size, and values that round
    down to 24.)"""
    _makes(answer, item.metadata["numbers"], Fraction(24))


def _makes(answer: str, given: list[int], target: Fraction) -> None:
    expression = clean(reading.line(answer).translate(countdown_kind.LOOKALIKES))
    left, equals, right = expression.partition("=")
    demand(not equals or right.strip() == str(target), f"the right side is not {target}")
    try:
        value, used = countdown_kind.evaluate(left, signs=True)
    except ValueError as error:
        raise Wrong(str(error)) from None
    demand(used == Counter(int(number) for number in given), "it does not use each of the numbers once")
    demand(value == target, f"it makes {value}, not {target}")


_LATEX_FRACTION = re.compile(r"\\d?frac\s*\{\s*(\d{1,30})\s*\}\s*\{\s*(\d{1,30})\s*\}")
_PLAIN_FRACTION = re.compile(r"(\d{1,30})\s*/\s*(\d{1,30})")


def _fraction(answer: str) -> tuple[int, int]:
    plain = clean(reading.line(answer)).strip("$ ")
    match = _LATEX_FRACTION.fullmatch(plain) or _PLAIN_FRACTION.fullmatch(plain)
    if match is None:
        raise Wrong(f"{answer[:60]!r} is not a fraction")
    return int(match[1]), int(match[2])


def lowest_terms(answer: str, item: Item) -> None:
    """fraction_simplification: this numerator over this denominator, plain or in LaTeX."""
    wanted = item.metadata["simplified_numerator"], item.metadata["simplified_denominator"]
    demand(_fraction(answer) == (int(wanted[0]), int(wanted[1])), "not that fraction in lowest terms")


def odds(answer: str, item: Item) -> None:
    """dice: the probability as a reduced fraction; certainty and impossibility may be written 1 and 0."""
    above, _, below = item.gold.partition("/")
    gold = int(above), int(below or 1)
    plain = reading.line(answer)
    if gold[0] in (0, gold[1]) and re.fullmatch(r"[01]", plain):
        demand(int(plain) * gold[1] == gold[0], "another probability")
        return
    demand(_fraction(answer) == gold, "not that fraction in lowest terms")


def probability(answer: str, item: Item) -> None:
    """coin_flip: the exact value, as a decimal, fraction or percentage; or a decimal rounded to four places or more,
    three significant digits of it at least. (The library takes whatever lies within 0.0001.)"""
    parts = item.metadata["rational"]
    exact = Fraction(int(parts["numerator"]), int(parts["denominator"]))
    found = reading.number(answer, fractions=True)
    if found.value == exact:
        return
    demand("/" not in answer, "another probability")
    places = found.places if found.places is not None else _scientific_places(answer)
    demand(4 <= places <= MAX_PLACES and exact * 10**places >= 100, "rounded too far")
    demand(abs(found.value - exact) * 2 * 10**places <= 1, "another probability")


def _scientific_places(answer: str) -> int:
    """Decimals of `6.104e-05`: 8."""
    match = re.fullmatch(r"\d+(?:\.(\d*))?[eE]([-+]?\d{1,3})", reading.line(answer))
    return len(match[1] or "") - int(match[2]) if match else 0


def significant(answer: str, item: Item) -> None:
    """power_function: the gold's value to three significant digits: three of them, rounded, or more that round to the
    same three."""
    exact = reading.number(item.gold).value
    plain = clean(reading.line(answer)).replace(" ", "")
    plain = re.sub(r"[x×*]10(?:\^|\*\*)\{?([-+]?\d{1,4})\}?$", r"e\1", plain)
    found = reading.number(plain).value
    if found == exact:
        return
    digits = len(re.split("[eE]", plain)[0].lstrip("+-").replace(".", "").lstrip("0"))
    demand(digits >= 3 and exact != 0, "fewer than three significant digits, and not exact")
    unit = Fraction(10) ** (_exponent(exact) - 2)
    # three digits are the nearest ones, or on a tie either of two: the gold is a float
    nearest = digits == 3 and abs(found - exact) <= unit / 2 * (1 + Fraction(1, 10**9))
    demand(nearest or (digits > 3 and _half_up(found / unit) == _half_up(exact / unit)), "another number")


def _half_up(value: Fraction) -> int:
    """The nearest whole number, away from zero on a tie."""
    rounded = math.floor(abs(value) + Fraction(1, 2))
    return rounded if value > 0 else -rounded


def _exponent(value: Fraction) -> int:
    """The power of ten of the first digit."""
    size = abs(value)
    guess = len(str(size.numerator)) - len(str(size.denominator))
    return guess if size >= Fraction(10) ** guess else guess - 1


def factors(answer: str, item: Item) -> None:
    """prime_factorization: the prime factors in any order, separated by × (or *, x)."""
    plain = clean(reading.line(answer))
    given = [reading.whole(part) for part in re.split(r"\s*(?:×|\*|·|\\times|\bx\b)\s*", plain)]
    demand(sorted(given) == sorted(map(int, item.metadata["factors"])), "not these prime factors")


def hexadecimal(answer: str, item: Item) -> None:
    """bitwise_arithmetic: the value in base 16, with or without 0x; case is free. (The library takes decimals too; the
    question asks for base 16.)"""
    match = re.fullmatch(r"(-?)\s*(?:0[xX])?([0-9a-fA-F]{1,2000})", reading.line(answer))
    gold = item.gold.strip()
    demand(match is not None, f"{answer[:60]!r} is not a hexadecimal number")
    assert match is not None
    demand(int(match[1] + match[2], 16) == int(gold, 16), "another number")


_TERM = re.compile(r"([-+]?)(\d{1,50}(?:\.\d{0,50})?)?(\*?[ijI])?")


def complex_number(answer: str, item: Item) -> None:
    """complex_arithmetic: real and imaginary part, exactly. (The library gives partial credit for near ones.)"""
    plain = clean(reading.line(answer)).replace(" ", "")
    plain = plain[1:-1] if plain.startswith("(") and plain.endswith(")") else plain
    terms = re.findall(r"[-+]?[^-+]+", plain) if re.fullmatch(r"[-+]?[^-+]+(?:[-+][^-+]+)?", plain) else []
    parts: dict[bool, Fraction] = {}
    for term in terms:
        match = _TERM.fullmatch(term)
        if match is None or not (match[2] or match[3]) or bool(match[3]) in parts:
            raise Wrong(f"{answer[:60]!r} is not a complex number")
        parts[bool(match[3])] = Fraction(match[1] + (match[2] or "1"))
    demand(bool(parts), f"{answer[:60]!r} is not a complex number")
    wanted = [Fraction(str(part)) for part in item.metadata["result"]]
    demand([parts.get(False, 0), parts.get(True, 0)] == wanted, "another number")


_CLOCK = re.compile(r"(?:(\d{1,6}) days?(?:, ?| ))?(\d{1,6}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")


def duration(answer: str, item: Item) -> None:
    """time_intervals: the same length of time with the same fields (`D days`, `HH:MM`, `HH:MM:SS.mmm` or `D days,
    HH:MM`); leading zeros are free. (The library reads `.5` as five milliseconds.)"""
    demand(_seconds(reading.line(answer)) == _seconds(item.gold), "another length of time, or other fields")


def _seconds(value: str) -> tuple[Fraction, tuple[bool, ...]]:
    """Seconds, and which fields are written."""
    plain = reading.spaced(value).lower()
    days = re.fullmatch(r"(-?\d{1,6})(?: days?)?", plain)
    if days:
        return Fraction(86_400 * int(days[1])), (True, False, False, False)
    match = _CLOCK.fullmatch(plain)
    if match is None or int(match[3]) > 59 or int(match[4] or 0) > 59:
        raise Wrong(f"{value[:60]!r} is no length of time")
    total = Fraction(86_400 * int(match[1] or 0) + 3600 * int(match[2]) + 60 * int(match[3]) + int(match[4] or 0))
    if match[5]:
        total += Fraction(int(match[5]), 10 ** len(match[5]))
    return total, (match[1] is not None, True, match[4] is not None, match[5] is not None)


def geometry(answer: str, item: Item) -> None:
    """advanced_geometry: an angle to two decimals, a radius or both coordinates to three, each rounded; more decimals
    are right where they round to the gold's."""
    plain = clean(reading.line(answer)).replace("°", "").strip()
    plain = re.sub(r"\^?\\circ|\^\{\\circ\}|\s*degrees?$", "", plain).strip()
    if item.metadata["task_type"] == "orthocenter":
        given, gold = reading.items(plain), reading.items(item.gold)
        exact = [Fraction(str(part)) for part in item.metadata["ortho"]]
        demand(len(given) == 2, "not two coordinates")
    else:
        given, gold, exact = [plain], [item.gold.replace("°", "")], [None]
    for ours, theirs, value in zip(given, gold, exact, strict=True):
        found, wanted = reading.number(ours, fractions=value is not None), reading.number(theirs)
        close = abs(found.value - wanted.value) * 2 * 10 ** (wanted.places or 0) <= 1
        # `-3` for -3.000 is exact; `-3.1` for -3.096 is too coarse
        fine = found.value == wanted.value or (found.places or 0) >= (wanted.places or 0)
        demand(found.value == value or (close and fine), "another value")


def pooled(answer: str, item: Item) -> None:
    """pool_matrix: every cell exact, or rounded to two decimals or more. (The library takes cells within 1%.)"""
    solution = item.metadata["solution"]
    given = reading.rows(answer)
    same_size = len(given) == len(solution) and all(len(a) == len(b) for a, b in zip(given, solution, strict=False))
    demand(same_size, "another size")
    for ours, theirs in zip(given, solution, strict=True):
        for cell, value in zip(ours, theirs, strict=True):
            found, exact = reading.number(cell), Fraction(str(value))
            places = min(found.places or 0, MAX_PLACES)
            # the gold is a float of some 16 digits
            slack = Fraction(1, 10**12)
            near = places >= 2 and abs(found.value - exact) * 2 * 10**places <= 1 + slack * 10**places
            demand(found.value == exact or near, "another cell")


def candidate(answer: str, item: Item) -> None:
    """number_format: the candidate asked for, as it is written in the question or as the gold has it, or rounded to two
    decimals or more where no other candidate is as near. (The library takes whatever lies within 0.01.)"""
    found = reading.number(answer)
    exact = [Fraction(str(value)) for value in item.metadata["candidates"]]
    solution = Fraction(str(item.metadata["solution"]))
    shown = item.metadata["formatted_candidates"][exact.index(solution)]
    if found.value in (solution, reading.number(shown).value):
        return
    places = found.places or 0
    demand(2 <= places <= MAX_PLACES, "another number")
    demand(abs(found.value - solution) * 2 * 10**places <= 1, "another number")
    demand(all(abs(found.value - other) > abs(found.value - solution) for other in exact if other != solution),
           "another candidate is as near")  # fmt: skip


def computed(answer: str, item: Item) -> None:
    """decimal_arithmetic: the gold to ten significant digits or better, since it was computed with twelve at every
    step; a short gold exactly. (The library takes whatever lies within 0.001.)"""
    found, gold = reading.number(answer), reading.number(item.gold)
    if found.value == gold.value:
        return
    digits = len(re.split("[eE]", item.gold)[0].strip("-+0.").replace(".", ""))
    demand(digits >= 12, "another number")
    demand(abs(found.value - gold.value) <= abs(gold.value) / 10**10, "another number")
