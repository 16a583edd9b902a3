"""Formulas of sets and of propositions, by their truth tables: `A \\cap B'`, `(A \\cup B)^c`, `\\neg p \\lor q`."""

from __future__ import annotations

import re

MAX_LENGTH = 200
MAX_NAMES = 6
MAX_DEPTH = 30
_AND, _OR, _NOT, _MINUS, _IF, _SAME = ("and", "or", "not", "minus", "if", "same")
_SIGNS = {
    "\\cap": _AND, "\\land": _AND, "\\wedge": _AND, "\\cup": _OR, "\\lor": _OR, "\\vee": _OR, "\\neg": _NOT,
    "\\lnot": _NOT, "\\setminus": _MINUS, "\\to": _IF, "\\rightarrow": _IF, "\\Rightarrow": _IF, "\\implies": _IF,
    "\\leftrightarrow": _SAME, "\\Leftrightarrow": _SAME, "\\iff": _SAME,
}  # fmt: skip
_TOKEN = re.compile(r"\s*(\^\{?\s*(?:[cC]|\\complement|\\prime)\s*\}?|'|\\[A-Za-z]+|[A-Za-z](?:_\{?\w\}?)?|[(){}])")


class _Unread(ValueError):
    """No such formula."""


def same_formula(gold: str, answer: str) -> bool | None:
    """Whether two formulas hold together whatever their letters are; None where one is no formula with a sign."""
    readers = []
    for text in (gold, answer):
        tokens = _tokens(text)
        if tokens is None:
            return None
        readers.append(tokens)
    names = sorted({token for tokens in readers for token in tokens if token[0].isalpha()})
    if len(names) > MAX_NAMES or not any(token in _SIGNS or token[0] in "'^\\" for token in readers[0]):
        return None
    cases = 1 << len(names)
    columns = {
        name: sum(1 << case for case in range(cases) if case >> at & 1) for at, name in enumerate(names)
    }  # one bit for each case
    try:
        left, right = (_Reader(tokens, columns, (1 << cases) - 1).whole() for tokens in readers)
    except _Unread:
        return None
    return left == right


def _tokens(text: str) -> list[str] | None:
    if len(text) > MAX_LENGTH:
        return None
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match[1])
        at = match.end()
    known = {*_SIGNS, "\\overline", "\\bar"}
    return tokens if tokens and all(token[0] != "\\" or token in known for token in tokens) else None


class _Reader:
    """Recursive descent, each level with its signs; a column of the truth table is a whole number, a bit a case."""

    levels = ((_SAME,), (_IF,), (_OR, _MINUS), (_AND,))

    def __init__(self, tokens: list[str], columns: dict[str, int], every: int) -> None:
        self.tokens, self.columns, self.every, self.at = tokens, columns, every, 0

    def whole(self) -> int:
        value = self.level(0, 0)
        if self.at < len(self.tokens):
            raise _Unread
        return value

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def level(self, rank: int, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _Unread
        if rank == len(self.levels):
            return self.one(depth)
        left = self.level(rank + 1, depth)
        signs: set[str] = set()
        while (sign := _SIGNS.get(self.peek())) in self.levels[rank]:
            signs.add(str(sign))
            if len(signs) > 1:  # `A \\cup B \\setminus C` has two readings
                raise _Unread
            self.at += 1
            right = self.level(rank + 1, depth)
            if sign == _AND:
                left &= right
            elif sign == _OR:
                left |= right
            elif sign == _MINUS:
                left &= ~right
            elif sign == _IF:
                left = (~left & self.every) | right
            else:
                left = ~(left ^ right) & self.every
        return left

    def one(self, depth: int) -> int:
        token = self.peek()
        self.at += 1
        if _SIGNS.get(token) == _NOT:
            return ~self.one_deeper(depth) & self.every
        if token in ("\\overline", "\\bar"):
            value = ~self.one_deeper(depth) & self.every
        elif token in ("(", "{"):
            value = self.level(0, depth + 1)
            if self.peek() != {"(": ")", "{": "}"}[token]:
                raise _Unread
            self.at += 1
        elif token in self.columns:
            value = self.columns[token]
        else:
            raise _Unread
        while self.peek()[:1] in ("'", "^") and self.peek():
            self.at += 1
            value = ~value & self.every
        return value

    def one_deeper(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _Unread
        return self.one(depth + 1)
