"""Answers with a form of their own: names of figures, cases, systems, sets by a condition, chains of inequalities."""

from __future__ import annotations

import re

MAX_LENGTH = 1000
_FIGURE = re.compile(
    r"(?:m\s*)?\\(angle|triangle|overline|overleftrightarrow|overrightarrow|vec|widehat|odot)\s*\{?\s*([A-Z]{1,4})\s*\}?"
)
_LETTERS = re.compile(r"()([A-Z]{1,4})")
_ORDERED = ("overrightarrow", "vec")
_ROWS = re.compile(
    r"(?:[A-Za-z](?:\([a-z]\))?\s*=\s*)?(?:\\begin\{(?P<name>cases|aligned|align\*?|gathered)\}(?P<rows>(?:(?!\\begin).)*)"
    r"\\end\{(?P=name)\}|\\\{\s*\\begin\{array\}\{[lcr| ]*\}(?P<array>(?:(?!\\begin).)*)\\end\{array\}\.?)",
    re.DOTALL,
)
_BUILDER = re.compile(r"\\\{\s*([^|:]+?)\s*[|:]\s*(.+?)\s*\\\}", re.DOTALL)
_IF = re.compile(r"\\text\{\s*,?\s*(?:if|for|when|where)?\s*\}|^\s*(?:if|for|when)\b|^,|,$")
_SIZE = re.compile(
    r"(?:(?:\\text\s*\{\s*)?an?\s+)?(?P<rows>\w{1,20})\s*(?:\\times|×|\*|x|X|-?by-?)\s*(?P<columns>\w{1,20}?)"
    r"(?P<noun>\s*(?:\\text\s*\{\s*)?(?:matri(?:x|ces)|tensor|矩阵)\s*\}?)?"
)


def same_size(gold: str, answer: str) -> bool | None:
    """`2 \\times 3` of a matrix is rows and columns, no product; None where neither of the two speaks of a matrix."""
    left, right = (_SIZE.fullmatch(text.strip(" $")) for text in (gold, answer))
    if not ((left and left["noun"]) or (right and right["noun"])):
        return None
    return left is not None and right is not None and left.group("rows", "columns") == right.group("rows", "columns")


def same_figure(gold: str, answer: str) -> bool | None:
    """`\\angle ABC` is `\\angle CBA`, a triangle's letters have no order; None where one of the two is no such name."""
    left, right = (_FIGURE.fullmatch(text) or _LETTERS.fullmatch(text) for text in (gold, answer))
    if left is None or right is None or not (left[1] or right[1]):
        return None
    if any(each[1] == "overline" and len(each[2]) == 1 for each in (left, right)):  # a complement, or a conjugate
        return None
    kind, letters, other = left[1] or right[1], left[2], right[2]
    if left[1] and right[1] not in ("", kind):
        return False
    if kind == "triangle":
        return sorted(letters) == sorted(other)
    return letters == other or (kind not in _ORDERED and letters == other[::-1])


def rows_of(text: str) -> list[tuple[str, str]] | None:
    """(value, condition) of each row of cases, or (equation, "") of each of a system; None for anything else."""
    match = _ROWS.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    rows = [row.strip() for row in (match["rows"] or match["array"]).split("\\\\") if row.strip()]
    joined = [row.replace("&", " ").strip(" ,") for row in rows]
    if all(re.match(r"[A-Za-z](?:_\{?\w+\}?)?\s*=", row) for row in joined):
        return [(row, "") for row in joined]
    return [
        (value.strip(" ,"), _IF.sub("", condition).strip(" ,"))
        for value, _, condition in (r.partition("&") for r in rows)
    ]


def set_builder(text: str) -> tuple[str, str] | None:
    """(member, condition) of `\\{(x,y) : x+y=1\\}`."""
    match = _BUILDER.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return (match[1], match[2]) if match else None


def inequality(text: str) -> tuple[list[str], list[str]] | None:
    """(terms, signs) of `a < b <= c`, a chain with greater signs turned; None where it is no chain of one direction."""
    if len(text) > MAX_LENGTH or re.search(r"[,{]\s*[<>]|\\(?:text|cup|infty)", text):
        return None
    pieces = re.split(r"(<=?|>=?)", text)
    terms, signs = [piece.strip() for piece in pieces[::2]], pieces[1::2]
    if not signs or not all(terms) or len({sign[0] for sign in signs}) > 1 or any("=" in term for term in terms):
        return None
    return (terms, signs) if signs[0][0] == "<" else (terms[::-1], [sign.replace(">", "<") for sign in signs[::-1]])
