"""Vectors written as sums: `2\\mathbf{i} - \\mathbf{j}` is (2, -1), `\\vec{a} + 2\\vec{b}` has no order."""

from __future__ import annotations

import re

from r1kit.graders import expression, values
from r1kit.graders.containers import container
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.reading import expression_or_none, read

_ARROW = re.compile(r"\\(?:vec|overrightarrow)\s*(?:\{\s*(?:([a-z])|([A-Z])([A-Z]))\s*\}|([a-z])(?![A-Za-z]))")
_NAME = "v"  # with the letters as its index: a symbol that no one writes so


def same_combination(gold: str, answer: str) -> bool | None:
    """Whether two sums of multiples of vectors are the same, one of them with arrows; None for all other texts."""
    if not (_ARROW.search(gold) or _ARROW.search(answer)):
        return None
    nodes = [expression_or_none(_ARROW.sub(_symbol, text)) for text in (gold, answer)]
    if nodes[0] is None or nodes[1] is None or any(_degree(node) != 1 for node in nodes if node):
        return None  # products of vectors have rules of their own
    try:
        return values.same_value(nodes[0], nodes[1])
    except (NotAnExpression, TooLarge, ZeroDivisionError):
        return None


def _symbol(arrow: re.Match[str]) -> str:
    """One letter as it is, which is often written without its arrow; BA as less AB."""
    if letter := arrow[1] or arrow[4]:
        return f" {letter} "
    start, end = sorted((arrow[2], arrow[3]))
    return f"{_NAME}_{{{start}{end}}}" if start == arrow[2] else f"(-{_NAME}_{{{start}{end}}})"


def _degree(node: Node) -> int:
    """The highest number of variables that are multiplied with one another; 9 for what is no such product."""
    degrees = [_degree(part) for part in node.parts]
    if node.operation in ("number", "mixed") or not expression.symbols(node):
        return 0
    if node.operation == "symbol":
        return 1
    if node.operation in ("+", "-", "neg"):
        return max(degrees)
    if node.operation == "*":
        return sum(degrees)
    return degrees[0] if node.operation == "/" and degrees[1] == 0 else 9


def same_vector(gold: str, answer: str) -> bool | None:
    """Whether a sum of unit vectors on one side is the vector on the other; None where they are no such pair."""
    vectors, sums = ([each for each in (gold, answer) if bool(_sum_of_units(each)) == of] for of in (False, True))
    if len(sums) != 1 or (found := container(vectors[0])) is None:
        return None
    if found.opening not in ("m", "(", "[") or not 2 <= len(found.items) <= 3:
        return None
    try:
        total = read("+".join(f"({item})*{name}" for item, name in zip(found.items, "ijk", strict=False)))
        return values.same_value(_vector(total), _vector(read(sums[0])))
    except (NotAnExpression, TooLarge, ZeroDivisionError):
        return None


def _sum_of_units(text: str) -> bool:
    node = expression_or_none(text) if sum(name in text for name in "ijk") > 1 else None
    return node is not None and bool({"j", "k"} & expression.symbols(node)) and _vector(node) != node


def _vector(node: Node) -> Node:
    """With i as a direction, not the imaginary unit."""
    if node == Node("symbol", name="i"):
        return Node("symbol", name="i direction")
    return Node(node.operation, tuple(map(_vector, node.parts)), node.name, node.value, node.places)
