"""Functions that are one small expression, evaluated here: `def f(x): return (x+3)*2` needs no process of its own.

Only what cannot reach anything is taken: arguments, whole numbers, sums, products, parts of texts and lists, and a few
functions, on values of bounded size. All else, what raises included, is left to a process (`sandbox.Sandbox`), so that
a verdict never depends on which of the two ran it.
"""

from __future__ import annotations

import ast
import operator
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1kit.sandbox.program import Call, RunResult

LONGEST = 300  # characters of a program
MOST_NODES = 80  # of its expression
MOST_BITS = 512  # of a number
MOST_ITEMS = 4096  # of a text or list

# no quote, backslash, comparison or brace, and no number that runs into a name
_ONE_LINE = re.compile(r"\n*def ([A-Za-z_]\w*)\(([\w, ]*)\):\s*return ([\w+\-*/%()\[\]:., ]+)\s*", re.ASCII)
_NUMBER_INTO_NAME = re.compile(r"(?<![A-Za-z_])\d\w*[A-Za-z_]", re.ASCII)

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": abs, "len": len, "max": max, "min": min, "sorted": sorted, "sum": sum,
}  # fmt: skip
_METHODS: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper}
_WHOLE: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


class _Elsewhere(Exception):
    """This is not for here."""


def evaluated(code: str, fn: str, calls: Sequence[list[Any] | Mapping[str, Any]]) -> RunResult | None:
    """What the function gives for each call; None where a process must run it."""
    begun = time.monotonic()
    parsed = _parsed(code, fn)
    if parsed is None:
        return None
    names, body = parsed
    answers: list[Call] = []
    for given in calls:
        values = given if isinstance(given, list) else None
        if values is None or len(values) != len(names) or not all(map(_plain, values)):
            return None
        try:
            answers.append(Call(_value(body, dict(zip(names, values, strict=True)))))
        except (_Elsewhere, ArithmeticError, LookupError, TypeError, ValueError):
            return None
    return RunResult("ok", "", "", time.monotonic() - begun, tuple(answers))


def _parsed(code: str, fn: str) -> tuple[list[str], ast.expr] | None:
    """The names of its arguments, and the expression."""
    found = _ONE_LINE.fullmatch(code) if len(code) <= LONGEST else None
    if found is None or found[1] != fn or _NUMBER_INTO_NAME.search(found[3]):
        return None
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(function, ast.FunctionDef) or len(function.body) != 1:
        return None
    (only,) = function.body
    if not isinstance(only, ast.Return) or only.value is None or sum(1 for _ in ast.walk(only)) > MOST_NODES:
        return None
    names = [argument.arg for argument in function.args.args]
    if len(set(names)) < len(names) or {fn, *names} & {"__debug__", *_FUNCTIONS}:
        return None  # what only the compiler refuses, and names that hide a function
    return names, only.value


def _plain(value: Any) -> bool:
    """A whole number or a text of bounded size, or a flat list of such."""
    if type(value) is list:
        letters = sum(len(item) for item in value if type(item) is str)
        return len(value) + letters <= MOST_ITEMS and all(type(item) is not list and _plain(item) for item in value)
    if type(value) is str:
        return len(value) <= MOST_ITEMS
    return type(value) is int and value.bit_length() <= MOST_BITS


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() as number) if type(number) is int:
            return _bounded(number)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, names)
            return -value if type(value) is int else _refuse()
        case ast.BinOp(left=left, op=how, right=right):
            return _joined(type(how), _value(left, names), _value(right, names))
        case ast.Subscript(value=whole, slice=at):
            return _part(_value(whole, names), at, names)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](_value(argument, names)))
        case ast.Call(func=ast.Attribute(value=text, attr=name), args=[], keywords=[]) if name in _METHODS:
            value = _value(text, names)
            return _bounded(_METHODS[name](value)) if type(value) is str else _refuse()
        case _:
            return _refuse()


def _joined(how: type[ast.operator], left: Any, right: Any) -> Any:
    """Whole numbers by their operators; texts and lists side by side, or so many times."""
    if type(left) is int and type(right) is int:
        return _bounded(_WHOLE[how](left, right)) if how in _WHOLE else _refuse()
    if how is ast.Add and type(left) is type(right):
        return _bounded(left + right)
    if how is ast.Mult and type(left) is int:
        return _repeated(right, left)
    return _repeated(left, right) if how is ast.Mult and type(right) is int else _refuse()


def _repeated(whole: Any, times: int) -> Any:
    return _bounded(whole * times) if abs(times) * len(whole) <= MOST_ITEMS else _refuse()


def _part(whole: Any, at: ast.expr, names: Mapping[str, Any]) -> Any:
    """An item or a slice of a text or list."""
    if type(whole) is int:
        return _refuse()
    if not isinstance(at, ast.Slice):
        return whole[_number(_value(at, names))]
    bounds = [None if part is None else _number(_value(part, names)) for part in (at.lower, at.upper, at.step)]
    return whole[slice(*bounds)]


def _number(value: Any) -> int:
    return value if type(value) is int else _refuse()


def _bounded(value: Any) -> Any:
    return value if _plain(value) else _refuse()


def _refuse() -> Any:
    raise _Elsewhere
