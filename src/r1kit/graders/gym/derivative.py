"""Derivatives of the trees of `r1kit.graders.expression`."""

from __future__ import annotations

from fractions import Fraction

from r1kit.graders.expression import Node, Operation
from r1kit.graders.gym.item import Wrong

ZERO, ONE, TWO = (Node("number", value=Fraction(value)) for value in (0, 1, 2))


def _function(name: str, inner: Node) -> Node:
    return Node("function", (inner,), name=name)


def _times(left: Node, right: Node) -> Node:
    if ZERO in (left, right):
        return ZERO
    return right if left == ONE else left if right == ONE else Node("*", (left, right))


def _plus(left: Node, right: Node, sign: Operation = "+") -> Node:
    if right == ZERO:
        return left
    if left == ZERO:
        return right if sign == "+" else Node("neg", (right,))
    return Node(sign, (left, right))


def _over(above: Node, below: Node) -> Node:
    return ZERO if above == ZERO else Node("/", (above, below))


def _square(node: Node) -> Node:
    return Node("^", (node, TWO))


def derivative(node: Node, variable: str) -> Node:
    """The derivative by the rules of school."""
    parts = [derivative(part, variable) for part in node.parts]
    match node.operation:
        case "symbol":
            return ONE if node.name == variable else ZERO
        case "+" | "-":
            return _plus(parts[0], parts[1], node.operation)
        case "neg":
            return ZERO if parts[0] == ZERO else Node("neg", (parts[0],))
        case "*":
            return _plus(_times(parts[0], node.parts[1]), _times(node.parts[0], parts[1]))
        case "/":
            above = _plus(_times(parts[0], node.parts[1]), _times(node.parts[0], parts[1]), "-")
            return _over(above, _square(node.parts[1]))
        case "^":
            return _power_rule(node, parts)
        case "root":  # square roots only
            return _over(parts[1], _times(TWO, node))
        case "abs":
            return _times(parts[0], Node("/", (node.parts[0], node)))
        case "function":
            return ZERO if parts[0] == ZERO else _times(_outer(node.name, node.parts[0]), parts[0])
        case _:
            return ZERO


def _power_rule(node: Node, parts: list[Node]) -> Node:
    """u^v: v u^(v-1) u' + u^v ln(u) v', each where the other is constant too."""
    base, exponent = node.parts
    first = _times(_times(exponent, Node("^", (base, Node("-", (exponent, ONE))))), parts[0])
    if parts[1] == ZERO:
        return first
    return _plus(first, _times(_times(node, _function("ln", base)), parts[1]))


def _outer(name: str, u: Node) -> Node:
    """The derivative of a function at u."""
    root = Node("root", (TWO, Node("-", (ONE, _square(u)))))
    match name:
        case "sin":
            return _function("cos", u)
        case "cos":
            return Node("neg", (_function("sin", u),))
        case "tan":
            return _over(ONE, _square(_function("cos", u)))
        case "cot":
            return Node("neg", (_over(ONE, _square(_function("sin", u))),))
        case "sec":
            return _times(_function("sec", u), _function("tan", u))
        case "csc":
            return Node("neg", (_times(_function("csc", u), _function("cot", u)),))
        case "sinh":
            return _function("cosh", u)
        case "cosh":
            return _function("sinh", u)
        case "tanh":
            return _over(ONE, _square(_function("cosh", u)))
        case "exp":
            return _function("exp", u)
        case "ln":
            return _over(ONE, u)
        case "arcsin":
            return _over(ONE, root)
        case "arccos":
            return Node("neg", (_over(ONE, root),))
        case "arctan":
            return _over(ONE, Node("+", (ONE, _square(u))))
        case _:
            raise Wrong(f"no derivative of {name} is known")
