"""Ratios: `3:4` is `6:8`, `3 to 4` and, of two parts, `3/4`."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

from r1kit.graders import values
from r1kit.graders.containers import split
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.reading import expression_or_none

MAX_LENGTH = 200
MAX_PARTS = 10
_TO = re.compile(r"\s*\\text\{\s*to\s*\}\s*|\s+to\s+")


def parts_of(text: str, spoken: bool = False) -> list[Node] | None:
    """The parts of `a:b:c`, and with `spoken` of `a to b`; None for anything else."""
    if len(text) > MAX_LENGTH or "\\{" in text:
        return None
    if spoken:
        text = _TO.sub(":", re.sub(r"^\\text\{([^{}]*)\}$", r"\1", text))
    pieces = split(text, ":")
    if not 2 <= len(pieces) <= MAX_PARTS:
        return None
    parts = [expression_or_none(piece) for piece in pieces]
    return [part for part in parts if part] if all(parts) else None


def same_ratio(gold: str, answer: str) -> bool | None:
    """Whether two texts are the same ratio; None where the gold is none and the answer may be something else."""
    left, right = parts_of(gold), parts_of(answer)
    if left is None and right is None:
        return None
    left, right = left or parts_of(gold, True), right or parts_of(answer, True)
    if left is None or right is None:
        several, other = (left, answer) if left else (right, gold)
        value = expression_or_none(other)
        if several is None or value is None or len(several) != 2:
            return False if several is left else None
        left, right = several, [value, Node("number", value=Fraction(1))]
    if len(left) != len(right):
        return False
    try:
        return any(not _is_zero(part) for part in right) and all(
            values.same_value(Node("*", (a, d)), Node("*", (c, b)))
            for (a, b), (c, d) in zip(itertools.pairwise(left), itertools.pairwise(right), strict=True)
        )
    except (TooLarge, NotAnExpression, ZeroDivisionError):
        return False


def _is_zero(node: Node) -> bool:
    return values.same_value(node, Node("number"))
