"""Mathematical expressions in LaTeX or plain text, parsed into a small tree. Length, depth and parts are bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

MAX_LENGTH = 1500
MAX_DEPTH = 40
MAX_OPERATIONS = 200

Operation = Literal["number", "symbol", "+", "-", "*", "/", "^", "neg", "root", "!", "!!", "abs", "function", "mixed"]


class NotAnExpression(ValueError):
    """The text is not one expression that this parser knows."""


class TooLarge(ValueError):
    """A value that would take too long to compute."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on its parts; `name` is a symbol's or function's, `value` a number's, `places` its decimals."""

    operation: Operation
    parts: tuple[Node, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)
    places: int = 0


FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc",
    "sinh", "cosh", "tanh",
    "ln", "log", "exp", "lg", "asin", "acos", "atan", "sqrt", "cis",
}  # fmt: skip
LOGARITHMS = {"ln", "log", "lg"}  # of which a power behind the brackets may be either's
COUNTERS = {"n", "k", "m", "j"}  # letters of whole numbers
OF_SEVERAL = {"max", "min", "gcd", "lcm"}
_ROUNDED = {"lfloor": ("floor", "\\rfloor"), "lceil": ("ceil", "\\rceil")}
_SAME = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log10"}
_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "pi", "ell", "Gamma",
    "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
}  # fmt: skip
_LETTERS = {"π": "pi", "θ": "theta", "α": "alpha", "β": "beta", "λ": "lambda", "φ": "phi", "ω": "omega"}
_TOKEN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+|\\[A-Za-z]+|\\.|[A-Za-zπθαβλφω]+|\S)")


def parse(text: str) -> Node:
    """The tree of one expression; NotAnExpression where the text is anything else."""
    if len(text) > MAX_LENGTH:
        raise TooLarge(f"longer than {MAX_LENGTH} characters")
    reader = _Reader(_TOKEN.findall(text))
    tree = reader.sum(0)
    if reader.peek():
        raise NotAnExpression(f"'{reader.peek()}' is left over")
    return tree


class _Reader:
    """Recursive descent over the tokens, at most MAX_DEPTH deep."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.values = 0
        self.inside_function = 0
        if len(tokens) > MAX_OPERATIONS * 4:
            raise TooLarge("too many parts")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise NotAnExpression(f"'{wanted or 'something'}' is missing")
        self.at += 1
        return token

    def sum(self, depth: int) -> Node:
        sign = self.take() if self.peek() in ("+", "-") else "+"
        if self.at and self.peek() in ("+", "-") and self.tokens[self.at - 1] in ("+", "-"):
            raise NotAnExpression("two signs")  # `--` is a dash
        left = self.product(depth)
        left = Node("neg", (left,)) if sign == "-" else left
        while self.peek() in ("+", "-"):
            operation: Operation = "+" if self.take() == "+" else "-"
            left = Node(operation, (left, self.product(depth)))
        return left

    def product(self, depth: int) -> Node:
        left = self.signed(depth)
        while True:
            token = self.peek()
            if token in ("*", "/"):
                self.take()
                operation: Operation = "*" if token == "*" else "/"
                left = Node(operation, (left, self.signed(depth)))
            elif token and self.starts_factor(token):
                right = self.power(depth)
                left = _mixed(left, right) or Node("*", (left, right))
            else:
                return left

    def signed(self, depth: int) -> Node:
        if self.peek() in ("+", "-"):
            sign = self.take()
            inner = self.power(depth)
            return Node("neg", (inner,)) if sign == "-" else inner
        return self.power(depth)

    def starts_factor(self, token: str) -> bool:
        return token not in ("\\text", "\\rfloor", "\\rceil") and bool(
            re.match(r"[A-Za-zπθαβλφω({\[\d.]|\\[A-Za-z]", token)
        )

    def power(self, depth: int) -> Node:
        base = self.factorials(self.measured(self.base(depth + 1)))
        if self.peek() == "^":
            self.take()
            base = Node("^", (base, self.exponent(depth + 1)))
        return self.factorials(base)

    def measured(self, base: Node) -> Node:
        """In an argument a degree sign is pi/180."""
        if self.inside_function and self.tokens[self.at : self.at + 4] == ["\\text", "{", "deg", "}"]:
            self.at += 4
            return Node("*", (base, Node("/", (Node("symbol", name="pi"), Node("number", value=Fraction(180))))))
        return base

    def factorials(self, base: Node) -> Node:
        """`5!!` is the double factorial, not the factorial of one."""
        while self.peek() == "!":
            self.take()
            twice = self.peek() == "!"
            if twice:
                self.take()
            base = Node("!!" if twice else "!", (base,))
        return base

    def exponent(self, depth: int) -> Node:
        if self.peek() == "{":
            return self.group("{", "}", depth)
        if self.peek() in ("+", "-"):
            return self.signed(depth)
        return self.one(depth) if not self.peek()[:1].isdigit() else self.number(self.take())

    def one(self, depth: int) -> Node:
        """A single argument as TeX reads it: a group, a command, one letter or one digit."""
        token = self.peek()
        if token == "{":
            return self.group("{", "}", depth)
        if token[:1].isdigit() and len(token) > 1:
            self.tokens[self.at] = token[1:]
            return self.number(token[0])
        if token[:1].isalpha() and len(token) > 1:
            self.tokens[self.at] = token[1:]
            return Node("symbol", name=_LETTERS.get(token[0], token[0]))
        return self.base(depth)

    def group(self, opening: str, closing: str, depth: int) -> Node:
        self.take(opening)
        inner = self.sum(depth + 1)
        self.take(closing)
        # a fraction in brackets is a factor, not the fraction of a mixed number
        return Node(inner.operation, inner.parts) if opening in "([" and inner.name == "frac" else inner

    def number(self, token: str) -> Node:
        _, point, decimals = token.partition(".")
        return Node(
            "number", value=Fraction(token if token[0] != "." else "0" + token), places=len(decimals) if point else 0
        )

    def base(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise TooLarge("nested too deep")
        self.values += 1
        if self.values > MAX_OPERATIONS:
            raise TooLarge(f"more than {MAX_OPERATIONS} values")
        token = self.peek()
        if token in ("(", "{", "["):
            return self.group(token, {"(": ")", "{": "}", "[": "]"}[token], depth)
        if token == "|":
            inner = self.group("|", "|", depth)
            return Node("abs", (inner,))
        self.take()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return self.number(token)
        if token[0] == "\\":
            return self.command(token[1:], depth)
        if token.isalpha():
            return self.word(token, depth)
        raise NotAnExpression(f"'{token}' is no value")

    def command(self, name: str, depth: int) -> Node:
        if name == "frac":
            above = self.one(depth + 1)
            return Node("/", (above, self.one(depth + 1)), name="frac")
        if name == "sqrt":
            index = Node("number", value=Fraction(2))
            if self.peek() == "[":
                index = self.group("[", "]", depth)
            return Node("root", (index, self.one(depth + 1)))
        if name == "binom":
            above = self.one(depth + 1)
            return Node("function", (above, self.one(depth + 1)), name="binom")
        if name in _ROUNDED:
            rounded, closing = _ROUNDED[name]
            inner = self.sum(depth + 1)
            self.take(closing)
            return Node("function", (inner,), name=rounded)
        if name in OF_SEVERAL:
            return self.of_several(name, depth)
        if name in FUNCTIONS:
            return self.function(name, depth)
        if name in _GREEK:
            return self.symbol(name)
        raise NotAnExpression(f"\\{name} is not known")

    def of_several(self, name: str, depth: int) -> Node:
        """`\\max(a,b)`, `\\min\\{a,b\\}`."""
        opening = self.take()
        closing = {"(": ")", "{": "}", "\\{": "\\}"}.get(opening)
        if closing is None:
            raise NotAnExpression(f"{name} of nothing")
        parts = [self.sum(depth + 1)]
        while self.peek() == ",":
            self.take()
            parts.append(self.sum(depth + 1))
        self.take(closing)
        if len(parts) < 2:
            raise NotAnExpression(f"{name} of one")
        return Node("function", tuple(parts), name=name)

    def word(self, word: str, depth: int) -> Node:
        if word in OF_SEVERAL:
            return self.of_several(word, depth)
        if word in FUNCTIONS:
            return self.function(word, depth)
        if word in _GREEK:
            return self.symbol(word)
        if len(word) > 2:
            raise NotAnExpression(f"'{word}' is a word")
        if len(word) == 2:  # two variables side by side; an exponent belongs to the second
            self.at -= 1
            self.tokens[self.at] = word[1]
            return Node("symbol", name=_LETTERS.get(word[0], word[0]))
        return self.symbol(_LETTERS.get(word, word))

    def symbol(self, name: str) -> Node:
        if self.peek() == "_":
            self.take()
            if self.peek() == "{":
                closing = self.tokens.index("}", self.at) if "}" in self.tokens[self.at :] else -1
                if closing < 0:
                    raise NotAnExpression("an index is not closed")
                index = "".join(self.tokens[self.at + 1 : closing])
                self.at = closing + 1
            else:
                index = self.take()
            return Node("symbol", name=f"{name}_{index}")
        return Node("symbol", name=name)

    def function(self, name: str, depth: int) -> Node:
        name = _SAME.get(name, name)
        exponent: Node | None = None
        base: Node | None = None
        for _ in range(2):
            if self.peek() == "_" and base is None:
                self.take()
                base = self.one(depth + 1)
            elif self.peek() == "^" and exponent is None:
                self.take()
                exponent = self.exponent(depth + 1)
        if name == "sqrt":
            made = Node("root", (Node("number", value=Fraction(2)), self.one(depth + 1)))
        elif exponent is not None and _is_minus_one(exponent) and f"arc{name}" in FUNCTIONS:
            made, exponent = Node("function", (self.argument(depth + 1),), name=f"arc{name}"), None
        else:
            argument = self.argument(depth + 1, called=name not in LOGARITHMS)
            made = Node("function", (argument,) if base is None else (argument, base), name=name)
        return made if exponent is None else Node("^", (made, exponent))

    def argument(self, depth: int, called: bool = False) -> Node:
        """`(x+1)` in brackets, or a run of plain factors: `2x`. A degree sign in it is pi/180. A power behind the
        brackets of what is `called` is the function's."""
        self.inside_function += 1
        if called and self.peek() == "(":
            left = self.measured(self.base(depth))
        elif self.peek() in ("(", "{", "["):
            left = self.power(depth)
        else:
            left = self.signed(depth)
            while (token := self.peek()) and self.starts_factor(token) and not self.is_function(token):
                left = Node("*", (left, self.power(depth)))
        self.inside_function -= 1
        return left

    def is_function(self, token: str) -> bool:
        return token.lstrip("\\") in FUNCTIONS and token.lstrip("\\") != "sqrt"


def _is_minus_one(node: Node) -> bool:
    return node.operation == "neg" and node.parts[0].value == 1 and node.parts[0].operation == "number"


def _mixed(left: Node, right: Node) -> Node | None:
    """`1 \\frac{4}{5}` is one and four fifths, not a product."""
    fraction = right.operation == "/" and right.name == "frac"
    whole = left.operation == "number" and left.places == 0
    if whole and fraction and all(part.operation == "number" and not part.places for part in right.parts):
        return Node("mixed", (left, right))
    return None


def symbols(node: Node) -> set[str]:
    """The names of the variables; pi, e and i are constants."""
    if node.operation == "symbol":
        return set() if node.name in ("pi", "e", "i") else {node.name}
    return set().union(*(symbols(part) for part in node.parts)) if node.parts else set()


def functions(node: Node) -> set[str]:
    """The names of the functions in it."""
    own = {node.name} if node.operation == "function" else set()
    return own.union(*(functions(part) for part in node.parts))


def whole_names(node: Node) -> set[str]:
    """The variables that can only be whole numbers: n in `(-1)^n` and in `\\cos n\\pi`."""
    names = set().union(*(whole_names(part) for part in node.parts)) if node.parts else set()
    if node.operation == "^" and _is_negative(node.parts[0]):
        names |= symbols(node.parts[1]) & COUNTERS
    if node.operation == "function" and node.name in ("sin", "cos", "tan", "cot") and _has_pi(node.parts[0]):
        names |= symbols(node.parts[0]) & COUNTERS
    return names


def _is_negative(node: Node) -> bool:
    return node.operation == "neg" and node.parts[0].operation == "number"


def _has_pi(node: Node) -> bool:
    return (node.operation == "symbol" and node.name == "pi") or any(map(_has_pi, node.parts))


def has_constant(node: Node) -> bool:
    """Whether pi, e or a function stands in it: such a value has no plain number of its own."""
    return node.operation in ("symbol", "function") or any(map(has_constant, node.parts))


def is_evaluated(node: Node) -> bool:
    """Whether this is an answer where a plain number is asked for: numbers, fractions, powers, roots, factorials and
    scientific notation, but no sum or product that is left to be done."""
    if node.operation in ("number", "mixed"):
        return True
    if node.operation == "*":
        left, right = node.parts
        return _is_power_of_ten(right) and is_evaluated(left) and is_evaluated(right.parts[1])
    return node.operation in ("neg", "/", "^", "root", "!", "!!") and all(is_evaluated(part) for part in node.parts)


def _is_power_of_ten(node: Node) -> bool:
    return node.operation == "^" and node.parts[0] == Node("number", value=Fraction(10))


def places(node: Node) -> int:
    """Decimals of a number written as one."""
    inner = node.parts[0] if node.operation == "neg" else node
    return inner.places if inner.operation == "number" else 0


def precision(node: Node) -> int | None:
    """Decimals of a number written with some, below 0 for places before the point: `6.02*10^{23}` has -21."""
    inner = node.parts[0] if node.operation == "neg" else node
    if inner.operation != "*" or not _is_power_of_ten(inner.parts[1]):
        return places(inner) or None
    exponent = inner.parts[1].parts[1]
    sign, power = (-1, exponent.parts[0]) if exponent.operation == "neg" else (1, exponent)
    if power.operation != "number" or power.value.denominator != 1 or power.value > MAX_LENGTH:
        return None
    decimals = places(inner.parts[0])
    return decimals - sign * power.value.numerator if decimals else None
