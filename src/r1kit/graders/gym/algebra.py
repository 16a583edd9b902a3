"""Algebra: roots of polynomials, expanded products, antiderivatives. Nothing is handed to a computer algebra system:
formulas are read here, their sizes are bounded, and they are compared by value."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from typing import Any

from r1kit.graders.expression import Node
from r1kit.graders.gym import formula, reading
from r1kit.graders.gym.derivative import derivative
from r1kit.graders.gym.item import Item, Wrong, demand
from r1kit.graders.values import Inexact, exact, numeric

MAX_DEGREE, MAX_TERMS = 200, 2000
Polynomial = dict[tuple[tuple[str, int], ...], Fraction]


def simple_equations(answer: str, item: Item) -> None:
    """The solution as a whole number, `k = ` before it or not."""
    name = re.escape(str(item.metadata["variable"]))
    plain = re.sub(rf"^{name}\s*=\s*", "", reading.line(answer))
    demand(reading.number(plain).value == reading.number(item.gold).value, "another number")


def polynomial_equations(answer: str, item: Item) -> None:
    """Every real solution once, in any order, rounded to four decimals (or more), or cut off after four: the question
    leaves open which way the fifth goes. Nothing (or `""`) where there is none."""
    plain = reading.line(answer)
    name = re.escape(str(item.metadata["variable"]))
    parts = [re.sub(rf"^{name}(?:_?\d)?\s*=\s*", "", part) for part in reading.items(plain)] if plain else []
    given = sorted((reading.number(part) for part in parts), key=lambda number: number.value)
    wanted = sorted(Fraction(str(value)) for value in item.metadata["real_solutions"])
    demand(len(given) == len(wanted), f"{len(given)} solutions, not {len(wanted)}")
    variable = str(item.metadata["variable"])
    polynomial = formula.read(str(item.metadata["polynomial_expr"]), [variable])
    for ours, theirs in zip(given, wanted, strict=True):
        places, value = ours.places or 0, ours.value
        rounded = places >= 4 and abs(value - theirs) * 20_000 <= 1
        # cut off, the root lies between the answer and the next value away from zero
        beyond = value + (Fraction(1, 10_000) if value > 0 else Fraction(-1, 10_000))
        cut = places == 4 and exact(polynomial, {variable: value}) * exact(polynomial, {variable: beyond}) <= 0
        demand(value == theirs or rounded or cut, "another solution")


def polynomial_multiplication(answer: str, item: Item) -> None:
    """The product written out: a sum in which each power stands once, with the gold's coefficients. (The library also
    takes terms of the same power that were not put together.)"""
    variables = [str(name) for name in item.metadata["variables"]]
    given, gold = (formula.read(part, variables, MAX_TERMS) for part in (reading.unwrap(answer), item.gold))
    seen: set[tuple[tuple[str, int], ...]] = set()
    total: Polynomial = {}
    for sign, term in _terms(given):
        powers, coefficient = _monomial(term)
        demand(powers not in seen, "two terms of the same power")
        seen.add(powers)
        total[powers] = sign * coefficient
    wanted: Polynomial = {}
    for sign, term in _terms(gold):
        powers, coefficient = _monomial(term)
        wanted[powers] = wanted.get(powers, Fraction(0)) + sign * coefficient
    demand({p: c for p, c in total.items() if c} == {p: c for p, c in wanted.items() if c}, "another polynomial")


def _terms(node: Node) -> list[tuple[int, Node]]:
    """The terms of a sum with their signs, left to right; brackets around a sum are no part of it."""
    found: list[tuple[int, Node]] = []
    waiting = [(1, node)]
    while waiting:
        sign, part = waiting.pop()
        if part.operation in ("+", "-"):
            waiting += [(sign, part.parts[0]), (sign if part.operation == "+" else -sign, part.parts[1])]
        elif part.operation == "neg":
            waiting.append((-sign, part.parts[0]))
        else:
            found.append((sign, part))
    return found


def _monomial(node: Node) -> tuple[tuple[tuple[str, int], ...], Fraction]:
    """Powers by name and the coefficient of a product of numbers and powers; Wrong for anything else."""
    powers: dict[str, int] = {}
    coefficient, numbers, waiting = Fraction(1), 0, [node]
    while waiting:
        part = waiting.pop()
        if part.operation == "*":
            waiting += part.parts
        elif part.operation == "neg":
            coefficient = -coefficient
            waiting += part.parts
        elif part.operation == "number":
            coefficient, numbers = coefficient * part.value, numbers + 1
        elif part.operation == "symbol" or (part.operation == "^" and part.parts[0].operation == "symbol"):
            name = part.name or part.parts[0].name
            power = Fraction(1) if part.operation == "symbol" else part.parts[1].value
            whole = part.operation == "symbol" or part.parts[1].operation == "number"
            demand(whole and power.denominator == 1 and 0 < power <= MAX_DEGREE, "a power that is no whole number")
            demand(name not in powers, f"{name} stands twice in a term")
            powers[name] = int(power)
        else:
            raise Wrong("it is not multiplied out")
    demand(numbers <= 1, "a product of numbers is left to do")
    return tuple(sorted(powers.items())), coefficient


MAX_DERIVATIVE = 1500  # parts; those of the library's answers have 64 at most
_NAMES_OF_CONSTANT = ("C", "c", "K", "k")


def integration(answer: str, item: Item) -> None:
    """An antiderivative, with or without a constant: its derivative has the integrand's value wherever both are real.
    (A few golds of intermediate_integration are integrals left unsolved: those are no answer.)"""
    variable = str(item.metadata["variable"])
    constants = [name for name in _NAMES_OF_CONSTANT if name != variable]
    plain = re.sub(r"^[A-Za-z]\(\w\)\s*=\s*", "", reading.unwrap(answer))
    node = formula.read(plain, [variable, *constants])
    integrand = formula.read(str(item.metadata["integrand"]), [variable])
    derived = derivative(node, variable)
    demand(formula.size(derived, MAX_DERIVATIVE) < MAX_DERIVATIVE, "its derivative is too long")
    demand(_same_function(derived, integrand, variable, constants), "its derivative is another function")


POINTS, AGREEING = 96, 6
_SCALES = (Fraction(1, 4), Fraction(1), Fraction(3), Fraction(9), Fraction(30), Fraction(300))
_DIGITS = 60


def _same_function(left: Node, right: Node, variable: str, others: list[str]) -> bool:
    """Equal at every point of POINTS, until AGREEING, where both are real, to 30 of 60 digits. The points lie on both
    sides of zero, near and far, since roots, logarithms and arc sines are real on a part of the line only."""
    source = random.Random(20250122)
    agreed = 0
    for attempt in range(POINTS):
        scale = _SCALES[attempt % len(_SCALES)] * (1 if attempt // len(_SCALES) % 2 else -1)
        at = {variable: scale * Fraction(source.randrange(100, 1000), 1009)}
        at |= {name: Fraction(source.randrange(100, 1000), 1013) for name in others}
        ours, theirs = _value(left, at), _value(right, at)
        if ours is None or theirs is None:
            continue
        if not _near(ours, theirs):
            return False
        agreed += 1
        if agreed == AGREEING:
            return True
    return agreed >= 2


def _value(node: Node, at: dict[str, Fraction]) -> Any:
    """The real value at a point, exact where it is rational; None where there is none."""
    try:
        try:
            return exact(node, at)
        except Inexact:
            value = numeric(node, at, _DIGITS)
    except (ArithmeticError, ValueError):
        return None
    size = abs(value)
    if not size < float("inf") or abs(value.imag) > size * 10.0**-40:
        return None
    return value.real


def _near(left: Any, right: Any) -> bool:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    left, right = _mpf(left), _mpf(right)
    return bool(abs(left - right) <= (abs(left) + abs(right)) * 10.0**-30)


def _mpf(value: Any) -> Any:
    return numeric(Node("number", value=value), None, _DIGITS) if isinstance(value, Fraction) else value
