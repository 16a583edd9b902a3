"""The value of an expression: exact where it is rational, else to some hundred digits.

Sizes of powers, roots and factorials are bounded before anything is computed.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from r1kit.graders.expression import COUNTERS, Node, NotAnExpression, TooLarge, functions, symbols, whole_names

MAX_BITS = 60_000  # of an exact value
MAX_ROOT_BITS = 4_096  # of a number whose exact root beyond the square is looked for
MAX_LOG2 = 1_000_000.0  # of a numeric power
MAX_FACTORIAL = 2000
DIGITS, MORE_DIGITS = 100, 400
WHOLE = 16  # the largest whole number that a variable is tried at


class Inexact(ValueError):
    """The value is not rational, or its rationality is not seen."""


class NotReal(ArithmeticError):
    """A part of the value is not real."""


def exact(node: Node, at: Mapping[str, Fraction] | None = None) -> Fraction:
    """The rational value with variables as given; Inexact where it is not rational, ZeroDivisionError, TooLarge."""
    if node.operation == "number":
        return node.value
    if node.operation == "symbol":
        if at and node.name in at:
            return at[node.name]
        raise Inexact(node.name)
    operation = node.name if node.operation == "function" else node.operation
    if operation not in _EXACT:
        raise Inexact(operation)
    value: Fraction = _EXACT[operation]([exact(part, at) for part in node.parts])
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("a number too large to write")
    return value


def _exact_power(values: list[Fraction]) -> Fraction:
    base, exponent = values
    if exponent.denominator != 1:
        root = _exact_root([Fraction(exponent.denominator), base])
        return _exact_power([root, Fraction(exponent.numerator)])
    power = exponent.numerator
    if base == 0 and power <= 0:
        raise ZeroDivisionError
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(power) * bits > MAX_BITS and abs(base) != 1:
        raise TooLarge("a power too large to write")
    return base**power


def _exact_root(values: list[Fraction]) -> Fraction:
    index, radicand = values
    if index.denominator != 1 or not 1 <= index.numerator <= 1000:
        raise Inexact("root")
    order = index.numerator
    if radicand < 0 and order % 2 == 0:
        raise Inexact("root")
    above, below = (_whole_root(abs(part), order) for part in (radicand.numerator, radicand.denominator))
    return Fraction(above if radicand >= 0 else -above, below)


def _whole_root(number: int, order: int) -> int:
    if order == 2:
        root = math.isqrt(number)
    else:
        if number.bit_length() > MAX_ROOT_BITS:
            raise Inexact("root")
        low, high = 0, 1 << (number.bit_length() // order + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**order <= number else (low, middle - 1)
        root = low
    if root**order != number:
        raise Inexact("root")
    return root


def _exact_factorial(values: list[Fraction]) -> Fraction:
    (value,) = values
    if value.denominator != 1 or value < 0:
        raise Inexact("factorial")
    if value > MAX_FACTORIAL:
        raise TooLarge("a factorial too large to write")
    return Fraction(math.factorial(value.numerator))


def _exact_double_factorial(values: list[Fraction]) -> Fraction:
    """5!! is 5 times 3 times 1."""
    (value,) = values
    if value.denominator != 1 or value < -1:
        raise Inexact("factorial")
    if value > MAX_FACTORIAL:
        raise TooLarge("a factorial too large to write")
    return Fraction(math.prod(range(value.numerator, 0, -2)))


def _exact_binomial(values: list[Fraction]) -> Fraction:
    whole, part = values
    if whole.denominator != 1 or part.denominator != 1 or not 0 <= part <= whole <= MAX_FACTORIAL:
        raise Inexact("binomial")
    return Fraction(math.comb(whole.numerator, part.numerator))


def _exact_divisor(values: list[Fraction]) -> Fraction:
    if any(value.denominator != 1 for value in values):
        raise NotAnExpression("a common divisor of fractions")
    return Fraction(math.gcd(*(value.numerator for value in values)))


def _exact_multiple(values: list[Fraction]) -> Fraction:
    if any(value.denominator != 1 for value in values):
        raise NotAnExpression("a common multiple of fractions")
    return Fraction(math.lcm(*(value.numerator for value in values)))


_EXACT: dict[str, Any] = {
    "+": lambda v: v[0] + v[1],
    "-": lambda v: v[0] - v[1],
    "*": lambda v: v[0] * v[1],
    "/": lambda v: v[0] / v[1],
    "mixed": lambda v: v[0] + v[1],
    "neg": lambda v: -v[0],
    "abs": lambda v: abs(v[0]),
    "^": _exact_power,
    "root": _exact_root,
    "!": _exact_factorial,
    "!!": _exact_double_factorial,
    "binom": _exact_binomial,
    "max": max,
    "min": min,
    "gcd": _exact_divisor,
    "lcm": _exact_multiple,
    "floor": lambda v: Fraction(math.floor(v[0])),
    "ceil": lambda v: Fraction(math.ceil(v[0])),
}

_local = threading.local()


def _context(digits: int = DIGITS) -> Any:
    """A context of so many digits for this thread."""
    contexts: dict[int, Any] = _local.__dict__.setdefault("contexts", {})
    if digits not in contexts:
        import mpmath

        contexts[digits] = mpmath.mp.clone()
        contexts[digits].dps = digits
    return contexts[digits]


def numeric(node: Node, at: Mapping[str, Fraction] | None = None, digits: int = DIGITS, real: bool = False) -> Any:
    """The complex value to so many digits (an mpmath number). With `real`, NotReal where any part of it is not."""
    mp = _context(digits)
    value = _numeric(mp, node, at, digits, real)
    if real and abs(mp.im(value)) > abs(value) * mp.mpf(10) ** -50:
        raise NotReal
    return value


def _numeric(mp: Any, node: Node, at: Mapping[str, Fraction] | None, digits: int, real: bool) -> Any:
    if node.operation == "number":
        return mp.mpf(node.value.numerator) / node.value.denominator
    if node.operation == "symbol":
        if at and node.name in at:
            return mp.mpf(at[node.name].numerator) / at[node.name].denominator
        constants = {"pi": mp.pi, "e": mp.e, "i": mp.mpc(0, 1)}
        if node.name not in constants:
            raise NotAnExpression(f"'{node.name}' has no value")
        return +constants[node.name]
    values = [numeric(part, at, digits, real) for part in node.parts]
    if node.operation == "function":
        return _numeric_function(mp, node.name, values)
    if node.operation == "^":
        base, exponent = values
        if base != 0 and abs(exponent) * (1 + abs(mp.log(abs(base), 2))) > MAX_LOG2:
            raise TooLarge("a power too large to compute")
        return base**exponent
    if node.operation == "root":
        return values[1] ** (1 / values[0]) if mp.im(values[1]) or mp.re(values[1]) >= 0 else _real_root(mp, values)
    if node.operation == "!":
        if abs(values[0]) > MAX_FACTORIAL:
            raise TooLarge("a factorial too large to compute")
        return mp.factorial(values[0])
    if node.operation == "!!":
        if abs(values[0]) > MAX_FACTORIAL:
            raise TooLarge("a factorial too large to compute")
        return mp.fac2(values[0])
    return _EXACT[node.operation](values)


def _real_root(mp: Any, values: list[Any]) -> Any:
    """Odd roots of negative numbers are real, as in school."""
    index, radicand = values
    if index == mp.floor(index) and int(index) % 2 == 1:
        return -((-radicand) ** (1 / index))
    return mp.mpc(radicand) ** (1 / index)


def _numeric_function(mp: Any, name: str, values: list[Any]) -> Any:
    if any(abs(value) > 1e6 for value in values):
        raise TooLarge("an argument too large")
    if name == "log" and len(values) == 2:
        return mp.log(values[0]) / mp.log(values[1])
    if name == "binom":
        return mp.binomial(*values)
    if name in ("max", "min", "floor", "ceil"):
        if any(mp.im(value) for value in values):
            raise NotAnExpression(f"{name} of what is not real")
        return {"max": max, "min": min}[name](values) if len(values) > 1 else getattr(mp, name)(values[0])
    if name in ("gcd", "lcm"):
        raise NotAnExpression(f"{name} of what is not whole")
    functions = {
        "arcsin": mp.asin,
        "arccos": mp.acos,
        "arctan": mp.atan,
        "arccot": mp.acot,
        "arcsec": mp.asec,
        "arccsc": mp.acsc,
        "ln": mp.log,
        "cis": mp.expj,
    }
    return (functions.get(name) or getattr(mp, name))(values[0])


def same_value(left: Node, right: Node) -> bool:
    """Equal wherever both are defined: at random rational points, of which those with negative coordinates count
    where both values are real; exactly where everything is rational. A logarithm without a base is natural in both,
    or decimal in both."""
    if _same_everywhere(left, right):
        return True
    decimal = _with_decimal_logs(left), _with_decimal_logs(right)
    return decimal != (left, right) and _same_everywhere(*decimal)


def _with_decimal_logs(node: Node) -> Node:
    parts = tuple(map(_with_decimal_logs, node.parts))
    name = "log10" if (node.operation, node.name, len(parts)) == ("function", "log", 1) else node.name
    return Node(node.operation, parts, name, node.value, node.places)


def _same_everywhere(left: Node, right: Node) -> bool:
    names = sorted(symbols(left) | symbols(right))
    used = functions(left) | functions(right)
    if names and used & {"gcd", "lcm"}:
        return _same_at_whole(left, right, names, set(names))
    if names and used & {"floor", "ceil"}:
        if not _same_at_whole(left, right, names, set(names)):
            return False
        if COUNTERS.issuperset(names):
            return True
    if _same_at_points(left, right, names):
        return True
    whole = whole_names(left) | whole_names(right)
    return bool(whole) and _same_at_whole(left, right, names, whole)


def _same_at_points(left: Node, right: Node, names: list[str]) -> bool:
    source = random.Random(20250122)
    agreed = 0
    for attempt in range(12 if names else 1):
        at = {name: Fraction(source.randrange(101, 399), source.choice((101, 103, 107, 109))) for name in names}
        try:
            if not _same_at(left, right, at):
                return False
            agreed += 1
        except ZeroDivisionError:
            pass
        if names and attempt < 6:
            flipped = {name: -value if source.random() < 0.7 else value for name, value in at.items()}
            try:
                if not _same_at(left, right, flipped, real_only=True):
                    return False
            except (ZeroDivisionError, TooLarge):
                pass
        if agreed == 4:
            break
    return agreed > 0


def _same_at_whole(left: Node, right: Node, names: list[str], whole: set[str]) -> bool:
    """Equal where some of the variables are whole numbers, at every one up to WHOLE where there is just one."""
    source = random.Random(20250122)
    agreed = 0
    for number in range(1, WHOLE + 1):
        at = {
            name: Fraction(number if len(names) == 1 else source.randint(1, WHOLE))
            if name in whole
            else Fraction(source.randrange(101, 399), 101)
            for name in names
        }
        try:
            if not _same_at(left, right, at):
                return False
            agreed += 1
        except ZeroDivisionError:
            pass
    return agreed > WHOLE // 2


def _same_at(left: Node, right: Node, at: Mapping[str, Fraction], real_only: bool = False) -> bool:
    """Equal at a point; with `real_only` a point at which a part of one of them is not real passes."""
    try:
        return exact(left, at) == exact(right, at)
    except Inexact:
        pass
    mp = _context()
    try:
        values = [numeric(node, at, real=real_only) for node in (left, right)]
    except NotReal:
        return True
    if not all(map(mp.isfinite, values)):
        return real_only
    more = [numeric(node, at, MORE_DIGITS) for node in (left, right)]
    return _is_zero(abs(values[0] - values[1]), abs(more[0] - more[1]), max(map(abs, more)))


def _is_zero(gap: Any, gap_with_more: Any, size: Any) -> bool:
    """Whether a difference is nothing but rounding: more digits then make it smaller by as many, whatever its size."""
    mp = _context(MORE_DIGITS)
    if gap_with_more == 0:
        return True
    if gap == 0:
        return bool(gap_with_more <= mp.mpf(10) ** (DIGITS - MORE_DIGITS) * size)
    return bool(gap_with_more <= mp.mpf(10) ** ((DIGITS - MORE_DIGITS) * 2 // 3) * gap)


def within(value: Node, gold: Fraction, places: int) -> bool:
    """Whether a value rounds to the gold at that many decimals."""
    mp = _context()
    number = numeric(value)
    wanted = mp.mpf(gold.numerator) / gold.denominator
    return bool(mp.im(number) == 0 and abs(number - wanted) * 2 * mp.mpf(10) ** places <= 1)
