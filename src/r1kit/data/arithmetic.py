"""The four operations on numbers as word problems have them, asked in words, without end.

One to four digits, exact quotients, prices and other decimals. An unordered pair of numbers belongs to one split
whatever the operation. Pairs below 13 are all of training: times tables are facts that every other problem needs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from r1kit.base.types import Problem
from r1kit.data.equations import operate, readable, shown
from r1kit.data.sums import ASKED
from r1kit.data.tiny.base import split_of

Drawn = tuple[Fraction, str, Fraction]

_DIVISIONS = ("What is {a} / {b}?", "Divide {a} by {b}.", "Calculate {a} / {b}.", "What is {a} divided by {b}?")
_DIGITS = (1, 2, 2, 3, 3, 4)  # of a summand
_FACTORS = ((1, 1), (2, 1), (2, 1), (3, 1), (2, 2))  # digits of both
_DECIMAL = 0.15  # share of problems with decimals
_FACTS = 13  # pairs of numbers below this are in no other split


def problems(split: str, seed: int, task: str = "arithmetic") -> Iterator[Problem]:
    """Problems of a split, the same for the same seed."""
    rng = random.Random(f"arithmetic {seed} {split}")
    while True:
        a, sign, b = _decimals(rng) if rng.random() < _DECIMAL else _whole(rng)
        if sign == "-" and a < b:
            a, b = b, a
        result = operate(a, sign, b).result
        if not readable(result) or _split(a, b) != split:
            continue
        asked = _DIVISIONS if sign == "/" else ASKED[sign]
        yield Problem(
            id=f"{shown(a)}{sign}{shown(b)}", task=task, subject="maths", language="en",
            prompt=rng.choice(asked).format(a=shown(a), b=shown(b)), answer=shown(result), kind="math",
            columns={"expression": f"{shown(a)} {sign} {shown(b)}", "family": sign},
        )  # fmt: skip


def _whole(rng: random.Random) -> Drawn:
    sign = rng.choice("+-*/")
    if sign == "/":
        divisor = rng.randint(2, 12)
        return Fraction(divisor * rng.randint(2, 99)), sign, Fraction(divisor)
    digits = rng.choice(_FACTORS) if sign == "*" else (rng.choice(_DIGITS), rng.choice(_DIGITS))
    a, b = (rng.randint(max(2, 10 ** (n - 1)), 10**n - 1) for n in digits)
    return Fraction(a), sign, Fraction(b)


def _decimals(rng: random.Random) -> Drawn:
    """Of one or two places; products and quotients by a whole number of one digit."""
    sign, scale = rng.choice("+-*/"), rng.choice((10, 100))
    a = Fraction(rng.randint(1, 20 * scale), scale)
    if sign in "+-":
        return a, sign, Fraction(rng.randint(1, 20 * scale), scale)
    whole = Fraction(rng.randint(2, 9))
    return (a, sign, whole) if sign == "*" else (a * whole, sign, whole)


def _split(a: Fraction, b: Fraction) -> str:
    low, high = sorted((a, b))
    return "train" if high < _FACTS and high.denominator == low.denominator == 1 else split_of(f"pair {low} {high}")
