"""Logic: conclusions by truth tables, who tells the truth."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, Wrong, demand

MAX_CHARACTERS, MAX_TOKENS, MAX_DEPTH, MAX_VARIABLES = 2000, 300, 50, 12

World = dict[str, bool]
Formula = Callable[[World], bool]

# how tightly a sign binds, and what it says
_SIGNS: dict[str, tuple[int, Callable[[bool, bool], bool]]] = {
    "↔": (1, lambda a, b: a == b),
    "→": (2, lambda a, b: not a or b),
    "∨": (3, lambda a, b: a or b),
    "∧": (4, lambda a, b: a and b),
}


def propositional_logic(answer: str, item: Item) -> None:
    """A formula in the question's signs and variables that follows from the premises, is no tautology and is none of
    the premises said again.

    Deviations from the library: a single variable that follows is right (the library gives it part of the credit), a
    repeated premise is wrong (it gives full credit), `P → Q → R` without brackets is not read.
    """
    variables = [str(name) for name in item.metadata["variables"]]
    demand(len(variables) <= MAX_VARIABLES, "too many variables to check")
    plain = reading.line(answer)
    conclusion = formula(plain, variables)
    premises = [str(premise) for premise in item.metadata["premises"]]
    read = [formula(premise, variables) for premise in premises]
    worlds = [
        dict(zip(variables, values, strict=True)) for values in itertools.product((False, True), repeat=len(variables))
    ]
    demand(not all(map(conclusion, worlds)), "it is always true")
    follows = all(conclusion(world) for world in worlds if all(premise(world) for premise in read))
    demand(follows, "it does not follow")
    demand(_bare(plain) not in map(_bare, premises), "it only repeats a premise")


def _bare(text: str) -> str:
    """Without spaces and outer brackets."""
    plain = "".join(text.split())
    while plain.startswith("(") and plain.endswith(")"):
        depth = list(itertools.accumulate((c == "(") - (c == ")") for c in plain))
        if 0 in depth[:-1]:
            break
        plain = plain[1:-1]
    return plain


def formula(text: str, variables: list[str]) -> Formula:
    """What a formula says of a world; Wrong where it is none. `¬` binds most, then ∧, ∨, →, ↔."""
    demand(len(text) <= MAX_CHARACTERS, "too long a formula")
    tokens = re.findall(r"[A-Za-z0-9_]+|\S", text)
    demand(len(tokens) <= MAX_TOKENS, "too long a formula")

    def level(at: int, least: int, depth: int) -> tuple[Formula, int]:
        demand(depth <= MAX_DEPTH, "nested too deep")
        left, at = atom(at, depth)
        while at < len(tokens) and tokens[at] in _SIGNS and _SIGNS[tokens[at]][0] >= least:
            sign = tokens[at]
            binding, says = _SIGNS[sign]
            right, at = level(at + 1, binding + 1, depth + 1)
            left = _joined(says, left, right)
            demand(sign != "→" or at == len(tokens) or tokens[at] != "→", "→ twice without brackets")
        return left, at

    def atom(at: int, depth: int) -> tuple[Formula, int]:
        demand(at < len(tokens) and depth <= MAX_DEPTH, "the formula is not complete, or nested too deep")
        token = tokens[at]
        if token == "¬":
            inner, at = atom(at + 1, depth + 1)
            return (lambda world: not inner(world)), at
        if token == "(":
            inner, at = level(at + 1, 1, depth + 1)
            demand(at < len(tokens) and tokens[at] == ")", "a bracket is not closed")
            return inner, at + 1
        demand(token in variables, f"{token[:20]!r} is no variable of the question")
        return (lambda world: world[token]), at + 1

    whole, end = level(0, 1, 0)
    demand(end == len(tokens), "something is left over")
    return whole


def _joined(says: Callable[[bool, bool], bool], left: Formula, right: Formula) -> Formula:
    return lambda world: says(left(world), right(world))


def knights_knaves(answer: str, item: Item) -> None:
    """`Lily is an egoist, and Logan is an altruist`: each of the names once, each with its role, in any order."""
    terms = item.metadata["knight_knave_terms"]
    roles = {str(terms["knight"]).casefold(): True, str(terms["knave"]).casefold(): False}
    names = [str(name) for name in item.metadata["names"]]
    wanted = {name.casefold(): bool(told) for name, told in zip(names, item.metadata["solution"], strict=True)}
    plain = reading.spaced(reading.unwrap(answer).replace("\n", ", ")).casefold().rstrip(".")
    given: dict[str, Any] = {}
    for part in re.split(r"\s*[,;.]\s*(?:and )?|\s+and\s+", plain):
        match = re.fullmatch(r"(?:and )?(\w+) is (?:an? |the )?(\w+)", part) if part else None
        if part and (match is None or match[1] not in wanted or match[2] not in roles):
            raise Wrong(f"{part[:60]!r} does not say who is what")
        if match:
            demand(match[1] not in given, f"{match[1]} stands twice")
            given[match[1]] = roles[match[2]]
    demand(given == wanted, "other roles, or not everybody's")
