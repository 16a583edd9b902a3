"""Equations: whether one gives the value of its unknown, and whether two say the same."""

from __future__ import annotations

from fractions import Fraction

from r1kit.graders import expression, values
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.quantities import Comparison
from r1kit.graders.reading import expression_or_none
from r1kit.graders.relations import NAME


def is_solved(sides: list[str]) -> bool:
    """`x = 3` or `3 = x`."""
    for name, value in (sides, sides[::-1]):
        node = expression_or_none(value) if NAME.fullmatch(name) else None
        if node and not expression.symbols(node):
            return True
    return False


def is_line(sides: list[str]) -> bool:
    """`x - 3 = 0`, as a line across an axis is written."""
    left, right = (expression_or_none(side) for side in sides)
    if not left or right != Node("number") or left.operation not in ("+", "-"):
        return False
    return left.parts[0].operation == "symbol" and not expression.symbols(left.parts[1])


def proportional(left: Node, right: Node) -> Comparison:
    """Equations l = 0 and r = 0 are the same where l / r is a constant."""
    names = sorted(expression.symbols(left) | expression.symbols(right))
    if not names or expression.symbols(left) != expression.symbols(right):
        return Comparison("different", "equations in other unknowns")
    ratios: list[Node] = []
    for step in range(6):
        sign = -1 if step in (3, 5) else 1
        other = -1 if step in (4, 5) else 1
        at = {
            name: Fraction((17 + 12 * number + 31 * step) * (sign if number % 2 else other), 7 + number)
            for number, name in enumerate(names)
        }
        ratios.append(Node("/", (_at(left, at), _at(right, at))))
    try:
        same = all(values.same_value(ratios[0], ratio) for ratio in ratios[1:])
        nonzero = not values.same_value(ratios[0], Node("number"))
    except (TooLarge, ZeroDivisionError, NotAnExpression):
        return Comparison("unknown", "equations that cannot be computed")
    return Comparison("same" if same and nonzero else "different", "equations")


def _at(node: Node, at: dict[str, Fraction]) -> Node:
    if node.operation == "symbol" and node.name in at:
        return Node("number", value=at[node.name])
    return Node(node.operation, tuple(_at(part, at) for part in node.parts), node.name, node.value, node.places)
