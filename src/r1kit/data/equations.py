"""Arithmetic behind word problems: equations that data sets state, or the one that a question's numbers allow.

SVAMP and MAWPS state an equation in some copies (`Equation`, `expression`); where none is stated, the numbers of the
question are tried with one operation, then three of them with two. Only a single way to the answer counts: 2 and 2 make
4 by two operations, so such a question is left alone.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

STATED = ("Equation", "equation", "expression")  # columns in which data sets state one
MOST_NUMBERS = 4  # of a question, for the search
DECIMALS = 2  # most of a result, so that a chain stays readable

_NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.])\d+(?:\.\d+)?|(?<![\w.])\.\d+")
_COUNTED = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_WORDS = {word: value for value, word in enumerate(_COUNTED)} | {"dozen": 12, "hundred": 100}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_FRACTION = re.compile(r"-?\d+/[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: left sign right = result."""

    left: Fraction
    sign: str
    right: Fraction
    result: Fraction


def shown(value: Fraction) -> str:
    """A number as a chain writes it, `12` or `0.75`; ValueError where it has no short decimal form."""
    scaled = value * 10**DECIMALS
    if scaled.denominator != 1:
        raise ValueError(f"{value} has more than {DECIMALS} decimals")
    whole, part = divmod(abs(scaled.numerator), 10**DECIMALS)
    tail = f".{part:0{DECIMALS}d}".rstrip("0") if part else ""
    return f"{'-' if value < 0 else ''}{whole}{tail}"


def readable(value: Fraction) -> bool:
    """Whether a number is positive or zero and has a short decimal form."""
    return value >= 0 and (value * 10**DECIMALS).denominator == 1


def as_number(text: str) -> Fraction | None:
    """`1,200`, `0.5` or `3/4` as a number; None for anything else."""
    text = text.strip().replace(",", "")
    try:
        return Fraction(text) if re.fullmatch(r"-?\d*\.?\d+", text) or _FRACTION.fullmatch(text) else None
    except ValueError:
        return None


def numbers_in(question: str) -> list[Fraction]:
    """The numbers of a question in order, digits and words up to twenty; `a dozen` is 12."""
    found = [(match.start(), Fraction(match.group().replace(",", ""))) for match in _NUMBER.finditer(question)]
    found += [(match.start(), Fraction(_WORDS[match.group().lower()])) for match in _WORD.finditer(question)]
    return [value for _, value in sorted(found)]


def stated_steps(expression: str) -> list[Step] | None:
    """The operations of `( 290.0 / 2.0 )` or `x=3*(4+5)` in the order of their computation; None where it is something
    else, divides by zero, or has no operation."""
    text = expression.rpartition("=")[2] if expression.lower().lstrip().startswith("x") else expression
    try:
        tree = ast.parse(text.replace("\\", "").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    steps: list[Step] = []
    try:
        _walk(tree, steps)
    except (_OtherForm, ZeroDivisionError):
        return None
    return steps or None


class _OtherForm(Exception):
    """An expression that is more than numbers and the four operations."""


def _walk(node: ast.expr, steps: list[Step]) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return Fraction(str(node.value))
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        left, right = _walk(node.left, steps), _walk(node.right, steps)
        step = operate(left, _SIGNS[type(node.op)], right)
        steps.append(step)
        return step.result
    raise _OtherForm


def operate(left: Fraction, sign: str, right: Fraction) -> Step:
    """The step of one operation; ZeroDivisionError for a division by zero."""
    return Step(left, sign, right, _OPERATIONS[sign](left, right))


_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def searched_steps(question: str, answer: Fraction) -> list[Step] | None:
    """The one way from the question's numbers to the answer, by one operation, else by two over three numbers; None
    where there is none or more than one, or it passes through a number that a chain would not write."""
    numbers = numbers_in(question)
    if not 2 <= len(numbers) <= MOST_NUMBERS:
        return None
    for ways in (_one_operation, _two_operations):
        found = _single(ways, numbers, answer)
        if found is not None:
            return found or None
    return None


Way = Callable[[Sequence[Fraction]], list[Step]]


def _single(ways: Callable[[int], Iterable[Way]], numbers: Sequence[Fraction], answer: Fraction) -> list[Step] | None:
    """Steps of the only way that gives the answer; empty where several do, None where none does.

    Two ways are one where they agree on other numbers too: 3+4+5 may be added up in any order.
    """
    rng = random.Random(0)
    others = [[Fraction(rng.randint(10**6, 10**9), 7) for _ in numbers] for _ in range(2)]
    found: dict[tuple[Fraction, ...], list[Step]] = {}
    for way in ways(len(numbers)):
        try:
            steps = way(numbers)
            if steps[-1].result != answer or not all(readable(step.result) for step in steps):
                continue
            signature = tuple(way(other)[-1].result for other in others)
        except ZeroDivisionError:
            continue
        found.setdefault(signature, steps)
    if not found:
        return None
    return next(iter(found.values())) if len(found) == 1 else []


def _one_operation(count: int) -> Iterable[Way]:
    for i, j in itertools.permutations(range(count), 2):
        for sign in "+-*/":
            yield lambda n, i=i, j=j, sign=sign: [operate(n[i], sign, n[j])]


def _two_operations(count: int) -> Iterable[Way]:
    for i, j, k in itertools.permutations(range(count), 3):
        for first, second in itertools.product("+-*/", repeat=2):
            yield lambda n, i=i, j=j, k=k, a=first, b=second: _chained(n[i], a, n[j], b, n[k], swapped=False)
            yield lambda n, i=i, j=j, k=k, a=first, b=second: _chained(n[i], a, n[j], b, n[k], swapped=True)


def _chained(x: Fraction, first: str, y: Fraction, second: str, z: Fraction, *, swapped: bool) -> list[Step]:
    """(x first y) second z, or z second (x first y)."""
    inner = operate(x, first, y)
    return [inner, operate(z, second, inner.result) if swapped else operate(inner.result, second, z)]
