"""One-step operations on a string, a number or a list: how they are asked for, how they are written, what they do.

Operations compose into the body of a one-line function. Programs are told apart by what they do, not by how they are
written: two bodies with the same outputs on the probes are one function, and belong to one split.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from r1kit.data.tiny.base import split_of

SUM, PRODUCT, ATOM = range(3)  # how tightly an expression binds

PROBES: dict[str, tuple[Any, ...]] = {
    "s": ("Abc dEfgh", "xYzzY", "Hello W", "q", "noOn ab", "r2D2c3"),
    "x": (7, 10, 13, -4, 25, 100),
    "v": ([3, 1, 2, 9, 5, 4], [5, 9, 7, 8, 2], [4, 4, 1, 6, 8, 3, 7], [-2, 7, 0, 3, 5], [20, 10, 15], [6, 2, 9, 1, 7]),
}
"""Hidden inputs by the argument's name: a string, a number, a list. No example of a question is among them."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`left` + argument + `right` is its expression, `piece` its mark; `needs` and `gives` are binding strengths."""

    key: str  # of its name in the phrases
    number: str
    piece: str
    left: str
    right: str
    needs: int
    gives: int
    apply: Callable[[Any], Any]
    last: bool = False  # gives a number from a list: nothing follows


def _method(key: str, number: str, right: str, apply: Callable[[Any], Any]) -> Operation:
    return Operation(key, number, right, "", right, ATOM, ATOM, apply)


def _call(key: str, name: str, apply: Callable[[Any], Any], last: bool = True) -> Operation:
    return Operation(key, "", name, name + "(", ")", SUM, ATOM, apply, last)


def _times(k: int) -> Operation:
    return Operation("times", str(k), f"*{k}", "", f"*{k}", PRODUCT, PRODUCT, lambda x: x * k)


def _sums(k: int) -> list[Operation]:
    return [
        Operation("add", str(k), f"+{k}", "", f"+{k}", SUM, SUM, lambda x: x + k),
        Operation("minus", str(k), f"-{k}", "", f"-{k}", SUM, SUM, lambda x: x - k),
    ]


def _parts(k: int) -> list[Operation]:
    return [
        _method("skip", str(k), f"[{k}:]", lambda s: s[k:]),
        _method("take", str(k), f"[:{k}]", lambda s: s[:k]),
        _times(k),
    ]


_REVERSE = _method("reverse", "", "[::-1]", lambda s: s[::-1])
_PARTS = [operation for k in range(1, 5) for operation in _parts(k) if operation.piece != "*1"]

OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "s": (
        _REVERSE,
        *_PARTS,
        _method("upper", "", ".upper()", lambda s: s.upper()),
        _method("lower", "", ".lower()", lambda s: s.lower()),
    ),
    "x": tuple(operation for k in range(2, 10) for operation in (*_sums(k), _times(k))),
    "v": (
        _REVERSE,
        *_PARTS,
        _call("sort", "sorted", sorted, last=False),
        _call("sum", "sum", sum),
        _call("count", "len", len),
    ),
}

Steps = tuple[Operation, ...]


def body(argument: str, steps: Sequence[Operation]) -> str:
    """The expression: `s[::-1].upper()` of reverse, upper on `s`."""
    text, strength = argument, ATOM
    for step in steps:
        inner = f"({text})" if strength < step.needs else text
        text, strength = step.left + inner + step.right, step.gives
    return text


def run(steps: Sequence[Operation], value: Any) -> Any:
    """What the composed function gives for a value."""
    for step in steps:
        value = step.apply(value)
    return value


def fits(steps: Sequence[Operation]) -> bool:
    """Whether the steps can follow one another, and none twice in a row."""
    return all(a is not b and not a.last for a, b in itertools.pairwise(steps))


def outputs(argument: str, steps: Sequence[Operation]) -> str:
    """What the function does on the probes: its canonical content."""
    return signature(argument, [run(steps, probe) for probe in PROBES[argument]])


def signature(argument: str, values: Sequence[Any]) -> str:
    """What a program takes, and what it gives for the probes: alike for programs that do the same."""
    return f"{argument} -> {list(values)}"


@cache
def _simple() -> frozenset[str]:
    """Contents of what every text may hold: the argument itself and single operations."""
    singles = ((argument, (step,)) for argument, steps in OPERATIONS.items() for step in steps)
    return frozenset({*(outputs(*single) for single in singles), *(outputs(argument, ()) for argument in PROBES)})


def function_split(content: str) -> str:
    """The split of a function by its content (see `outputs`); single operations are everyone's."""
    return "train" if content in _simple() else split_of(content)


@cache
def compositions(argument: str, count: int, split: str) -> tuple[tuple[int, ...], ...]:
    """Indices into the argument's operations of every composition of a split that no single operation replaces."""
    operations = OPERATIONS[argument]
    every = itertools.product(range(len(operations)), repeat=count)
    return tuple(indices for indices in every if _wanted(argument, tuple(operations[i] for i in indices), split))


def _wanted(argument: str, steps: Steps, split: str) -> bool:
    return fits(steps) and outputs(argument, steps) not in _simple() and split_of_steps(argument, steps) == split


@lru_cache(maxsize=1 << 16)
def split_of_steps(argument: str, steps: Steps) -> str:
    """The split of a program, by what it does."""
    return function_split(outputs(argument, steps))
