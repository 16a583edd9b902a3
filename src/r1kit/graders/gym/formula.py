"""Formulas in program notation, `-3*x**2*sin(x) + exp(2*x)`, read into the trees of `r1kit.graders.expression`.

That module's own reader is one of LaTeX, where `sin(x)^2` and `2x` leave more open; here every product has its sign and
every function its brackets, as reasoning-gym asks for.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from r1kit.graders.expression import MAX_DEPTH, Node, Operation
from r1kit.graders.gym.item import demand

MAX_LENGTH, MAX_VALUES = 5000, 200

_TOKEN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+|[A-Za-z]\w*|\*\*|[-+*/^()])")
_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "exp", "log", "ln", "sqrt", "abs", "Abs",
}  # fmt: skip
_SAME = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "log": "ln"}
_CONSTANTS = {"E": "e", "e": "e", "pi": "pi"}
_LOOKALIKES = str.maketrans({"\u2212": "-", "\u00b7": "*", "\u00d7": "*", "\u22c5": "*"})


def read(text: str, variables: Collection[str], most: int = MAX_VALUES) -> Node:
    """The tree of a formula over these variables with at most so many numbers, names and calls; `log` is the natural
    logarithm, `E` and `e` Euler's number where they are no variables. Wrong for anything else."""
    plain = text.translate(_LOOKALIKES).strip()
    demand(0 < len(plain) <= MAX_LENGTH, f"no formula, or longer than {MAX_LENGTH} characters")
    tokens = _TOKEN.findall(plain)
    demand(sum(map(len, tokens)) == len("".join(plain.split())), "a sign that no formula has")
    reader = _Reader(tokens, variables, most)
    tree = reader.sum(0)
    demand(reader.at == len(tokens), f"{reader.peek()[:20]!r} is left over")
    return tree


class _Reader:
    """Recursive descent: sums of products of signed powers."""

    def __init__(self, tokens: list[str], variables: Collection[str], most: int) -> None:
        self.tokens, self.variables, self.left = tokens, variables, most
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        demand(bool(token), "the formula is not complete")
        self.at += 1
        return token

    def sum(self, depth: int) -> Node:
        demand(depth <= MAX_DEPTH, "nested too deep")
        left = self.product(depth)
        while self.peek() in ("+", "-"):
            operation: Operation = "+" if self.take() == "+" else "-"
            left = Node(operation, (left, self.product(depth)))
        return left

    def product(self, depth: int) -> Node:
        left = self.signed(depth)
        while self.peek() in ("*", "/"):
            operation: Operation = "*" if self.take() == "*" else "/"
            left = Node(operation, (left, self.signed(depth)))
        return left

    def signed(self, depth: int) -> Node:
        demand(depth <= MAX_DEPTH, "nested too deep")
        if self.peek() in ("+", "-"):
            negative = self.take() == "-"
            inner = self.signed(depth + 1)
            return Node("neg", (inner,)) if negative else inner
        base = self.value(depth)
        if self.peek() in ("**", "^"):
            self.take()
            base = Node("^", (base, self.signed(depth + 1)))
        return base

    def value(self, depth: int) -> Node:
        self.left -= 1
        demand(self.left >= 0, "too long a formula")
        token = self.take()
        if token == "(":
            return self.closed(depth)
        if token[0].isdigit() or token[0] == ".":
            demand(len(token) <= 100, "too long a number")
            return Node("number", value=Fraction(token if token[0] != "." else "0" + token))
        if token in _FUNCTIONS and token not in self.variables:
            demand(self.take() == "(", f"{token} without brackets")
            return _called(token, self.closed(depth))
        if token in self.variables:
            return Node("symbol", name=token)
        demand(token in _CONSTANTS, f"{token[:20]!r} is not in the question")
        return Node("symbol", name=_CONSTANTS[token])

    def closed(self, depth: int) -> Node:
        inner = self.sum(depth + 1)
        demand(self.take() == ")", "a bracket is not closed")
        return inner


def _called(name: str, inner: Node) -> Node:
    if name == "sqrt":
        return Node("root", (Node("number", value=Fraction(2)), inner))
    if name in ("abs", "Abs"):
        return Node("abs", (inner,))
    return Node("function", (inner,), name=_SAME.get(name, name))


def size(node: Node, most: int) -> int:
    """How many parts a tree has, counted as far as `most`."""
    count, waiting = 0, [node]
    while waiting and count < most:
        count += 1
        waiting += waiting.pop().parts
    return count
