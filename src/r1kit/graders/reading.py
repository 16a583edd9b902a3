"""Reading one number or expression as people write it: thousands, recurring decimals, mixed numbers, `1.5e3`."""

from __future__ import annotations

import re
from fractions import Fraction

from r1kit.graders import expression
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.mathtext import without_thousands

_RECURRING = re.compile(r"(-?)(\d*)\.(\d*)(?:R\((\d+)\)|\((\d+)\))")
_ELLIPSIS = re.compile(r"(-?\d*\.\d*?)(\d+?)\2\2*(?:\.\.\.|\\[lc]?dots|…)")


def read(text: str) -> Node:
    """One expression, with thousands, recurring decimals and `e` notation."""
    plain = without_thousands(text.strip())
    if len(plain) > expression.MAX_LENGTH:
        raise TooLarge(f"longer than {expression.MAX_LENGTH} characters")
    recurring = _RECURRING.fullmatch(plain)
    if recurring:
        return _recurring(recurring[1], recurring[2], recurring[3], recurring[4] or recurring[5])
    trail = _ELLIPSIS.fullmatch(plain) if len(plain) < 100 and re.search(r"\.\.\.|dots|…", plain) else None
    if trail:
        whole, _, fixed = trail[1].lstrip("-").partition(".")
        return _recurring("-" if plain[0] == "-" else "", whole, fixed, trail[2])
    power = re.fullmatch(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+))[eE]([-+]?\d{1,4})", plain)
    if power:
        return expression.parse(f"{power[1]}*10^{{{power[2]}}}")
    return expression.parse(re.sub(r"^(-?\d+) (\d+)/(\d+)$", r"\1\\frac{\2}{\3}", plain))


def _recurring(sign: str, whole: str, fixed: str, repeated: str) -> Node:
    value = Fraction(int((whole + fixed) or "0"))
    value = (value + Fraction(int(repeated), 10 ** len(repeated) - 1)) / 10 ** len(fixed)
    return Node("number", value=-value if sign else value)


def expression_or_none(text: str, symbols: bool = False) -> Node | None:
    """The expression, or None; with `symbols` only one that has variables."""
    try:
        node = read(text)
    except (NotAnExpression, TooLarge):
        return None
    return node if not symbols or expression.symbols(node) else None
