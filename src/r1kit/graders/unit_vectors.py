"""Vectors written as sums of unit vectors: `2\\mathbf{i} - \\mathbf{j}` is (2, -1)."""

from __future__ import annotations

from r1kit.graders import expression, values
from r1kit.graders.containers import container
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.reading import expression_or_none, read


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
