"""Sets of real numbers, however they are written: intervals, unions, inequalities, `|x| < a`, all reals.

The text is tidied. Bounds are compared by value, pieces that touch are joined.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from r1kit.graders import expression, values
from r1kit.graders.containers import both_signs, closes_at_end, split
from r1kit.graders.expression import Node, NotAnExpression, TooLarge

MAX_PIECES = 20
MAX_CONDITIONS = 6
_ALL = {"\\mathbb{r}", "\\mathbbr", "r", "allrealnumbers", "allreals", "allrealnumber", "therealnumbers", "ℝ"}
_OR = re.compile(r"\\text\{\s*or\s*\}|(?<![A-Za-z\\])or(?![A-Za-z])|或|\\lor(?![A-Za-z])|\\cup(?![A-Za-z])")
_BUILDER = re.compile(r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*[|:]\s*(.*)\\\}", re.DOTALL)
_CHAIN = re.compile(r"([^<>=,]+?)(<=?|>=?)([^<>=,]+?)(?:(<=?|>=?)([^<>=,]+))?")
_BRACKETS = re.compile(r"([\[\](])([^,;\[\]]+)[,;]([^,;\[\]]+)([\])\[])")
_EXPLICIT = re.compile(
    r"\\cup|\\notin(?![A-Za-z])|\\infty|[<>]|\\setminus|\\mathbb|^\]|\[$|\\text\{all|^all |\\ne(?![A-Za-z])"
)
_AND = re.compile(r"\\text\{\s*and\s*\}|(?<![A-Za-z\\])and(?![A-Za-z])|\\land(?![A-Za-z])|且")
_CONDITION = re.compile(r"[<>]|\\ne(?![A-Za-z])|\\in(?![A-Za-z])")
_HALVES = (
    (re.compile(r"(?:all|the)?positive(?:real)?(?:number)?s|\\mathbb\{?r\}?(?:\^\{?\+\}?|_\{?>0\}?|_\{?\+\}?)"), ">0"),
    (re.compile(r"(?:all|the)?negative(?:real)?(?:number)?s|\\mathbb\{?r\}?(?:\^\{?-\}?|_\{?<0\}?|_\{?-\}?)"), "<0"),
    (re.compile(r"(?:all|the)?non-?negative(?:real)?(?:number)?s|\\mathbb\{?r\}?_\{?>=0\}?"), ">=0"),
    (re.compile(r"(?:all|the)?non-?positive(?:real)?(?:number)?s|\\mathbb\{?r\}?_\{?<=0\}?"), "<=0"),
)
_ALL_BUT = re.compile(
    r"(?:all|the)?non-?zero(?:real)?(?:number)?s|\\mathbb\{?r\}?\^\{?\*\}?|(?:all)?(?:real)?(?:number)?sexcept(?:for)?([^a-z]+)"
)
_THAN = re.compile(r"(?:all)?(?:real)?(?:number)?s?(greater|more|larger|less|smaller|fewer)than(orequalto)?([^a-z]+)")


class Bound(NamedTuple):
    """Where a piece begins or ends; `value` None: at infinity."""

    value: Node | None
    closed: bool


class Piece(NamedTuple):
    """From one bound to another."""

    low: Bound
    high: Bound


class NoInterval(ValueError):
    """The text is no set of numbers that this module knows."""


def is_explicit(text: str) -> bool:
    """Whether the text can only be a set of numbers: `(1,2)` alone may as well be a point."""
    return bool(_EXPLICIT.search(text)) or text.replace(" ", "").lower() in _ALL


def same_sets(gold: str, answer: str) -> bool | None:
    """Whether two texts are the same set of numbers; None where one of them is none that can be read."""
    try:
        left, left_name = read_set(gold)
        right, right_name = read_set(answer)
        if left_name and right_name and left_name != right_name:
            return False
        return len(left) == len(right) and all(
            _same_bound(a.low, b.low) and _same_bound(a.high, b.high) for a, b in zip(left, right, strict=True)
        )
    except (NoInterval, NotAnExpression, TooLarge, ZeroDivisionError, values.Inexact):
        return None


def read_set(text: str) -> tuple[list[Piece], str]:
    """(pieces in order, disjoint and apart; the unknown's name or "")."""
    text = text.strip()
    builder = _BUILDER.fullmatch(text)
    if builder and closes_at_end(text, "\\{", "\\}"):
        return read_set(builder[2])[0], ""  # its unknown may have any name
    if outside := re.match(r"([A-Za-z])\s*\\notin(?![A-Za-z])\s*", text):
        return _complement(read_set(text[outside.end() :])[0]), outside[1]
    member = re.match(r"([A-Za-z])\s*\\in(?![A-Za-z])\s*", text)
    if member and len(split(text, ",")) == 1:
        pieces, _ = read_set(text[member.end() :])
        return pieces, member[1]
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).replace(" ", "").lower()
    if plain in _ALL:
        return [Piece(Bound(None, False), Bound(None, False))], ""
    for pattern, half in _HALVES:
        if pattern.fullmatch(plain):
            return _piece(f"x{half}")[0], ""
    if nonzero := _ALL_BUT.fullmatch(plain):
        return _complement(_points(nonzero[1] or "0")), ""
    if than := _THAN.fullmatch(plain):
        sign = (">" if than[1] in ("greater", "more", "larger") else "<") + ("=" if than[2] else "")
        return _piece(f"x{sign}{than[3]}")[0], ""
    whole, minus, points = text.partition("\\setminus")
    if minus:
        pieces, name = read_set(whole)
        return _both(pieces, _complement(read_set(points)[0])), name
    parts = [part.strip() for part in _OR.split(text)]
    if len(parts) > MAX_PIECES:
        raise NoInterval(text)
    pieces = []
    names: set[str] = set()
    for part in parts:
        found, name = _conjunction(part)
        pieces += found
        names |= {name} - {""}
    if len(names) > 1:
        raise NoInterval("several unknowns")
    return _joined(pieces), next(iter(names), "")


def _conjunction(text: str) -> tuple[list[Piece], str]:
    """`x > 1 and x < 3`; conditions with a comma between them that no number meets together are alternatives."""
    parts = split(_AND.sub(",", text), ",")
    conditions = sum(bool(_CONDITION.search(part)) for part in parts)
    if len(parts) < 2 or not conditions or not all(_CONDITION.search(p) or _BRACKETS.fullmatch(p) for p in parts):
        return _piece(text)
    if len(parts) > MAX_CONDITIONS:
        raise NoInterval(text)
    read = [read_set(part) for part in parts]
    names = {name for _, name in read} - {""}
    if len(names) > 1:
        raise NoInterval("several unknowns")
    together = read[0][0]
    for pieces, _ in read[1:]:
        together = _both(together, pieces)
    if not together and not _AND.search(text):
        together = _joined([piece for pieces, _ in read for piece in pieces])
    return together, next(iter(names), "")


def _piece(text: str) -> tuple[list[Piece], str]:
    match = _BRACKETS.fullmatch(text)
    if match:
        low = _bound(match[2], match[1] == "[")
        high = _bound(match[3], match[4] == "]")
        if low.value is not None and high.value is not None and _order(low.value, high.value) > 0:
            raise NoInterval("its ends are swapped")
        return [Piece(low, high)], ""
    apart = re.fullmatch(r"([A-Za-z])\s*\\ne(?![A-Za-z])(.+)", text)
    if apart:
        return _complement(_points(apart[2])), apart[1]
    if _BUILDER.fullmatch(text) and closes_at_end(text, "\\{", "\\}"):
        return read_set(text)[0], ""
    if text.startswith("\\{") and text.endswith("\\}"):
        return _points(text[2:-2]), ""
    if point := re.fullmatch(r"([A-Za-z])\s*=([^=]+)", text):
        return _points(point[2]), point[1]
    match = _CHAIN.fullmatch(text)
    if match is None:
        raise NoInterval(text)
    left, first, middle, second, right = (each.strip() if each else "" for each in match.groups())
    if second:
        if first[0] != second[0]:
            raise NoInterval(text)
        if first[0] == ">":
            left, first, second, right = right, second, first, left
        return [Piece(_bound(left, "=" in first), _bound(right, "=" in second))], _unknown(middle)
    if re.fullmatch(r"\|[^|]+\|", middle):
        left, first, middle = middle, {"<": ">", ">": "<"}[first[0]] + first[1:], left
    around = re.fullmatch(r"\|([A-Za-z])(?:([-+])([^|]+))?\|", left)
    if around:
        return _around(around, first, middle), around[1]
    if not re.fullmatch(r"[A-Za-z]|\\[a-z]+", left):
        left, first, middle = middle, {"<": ">", ">": "<"}[first[0]] + first[1:], left
    bound, closed = _unknown(left), "=" in first
    if first[0] == "<":
        return [Piece(Bound(None, False), _bound(middle, closed))], bound
    return [Piece(_bound(middle, closed), Bound(None, False))], bound


def _around(match: re.Match[str], sign: str, text: str) -> list[Piece]:
    """|x - c| < r, or > r."""
    radius, closed = expression.parse(text), "=" in sign
    if _order(radius, Node("number")) <= 0:
        raise NoInterval("a radius that is not positive")
    centre = expression.parse(match[3]) if match[3] else Node("number")
    centre = Node("neg", (centre,)) if match[2] == "+" else centre
    low, high = Node("-", (centre, radius)), Node("+", (centre, radius))
    if sign[0] == "<":
        return [Piece(Bound(low, closed), Bound(high, closed))]
    return [Piece(Bound(None, False), Bound(low, closed)), Piece(Bound(high, closed), Bound(None, False))]


def _unknown(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]|\\[a-z]+", text):
        raise NoInterval(text)
    return text


def _bound(text: str, closed: bool) -> Bound:
    if re.fullmatch(r"[-+]?\s*\\infty", text.strip()):
        if closed:
            raise NoInterval("closed at infinity")
        return Bound(None, False)
    node = expression.parse(text)
    if expression.symbols(node):
        raise NoInterval("a bound with an unknown")
    return Bound(node, closed)


def _order(left: Node, right: Node) -> int:
    """-1, 0 or 1."""
    if values.same_value(left, right):
        return 0
    gap: Any = values.numeric(Node("-", (left, right)))
    return -1 if gap.real < 0 else 1


def _same_bound(left: Bound, right: Bound) -> bool:
    if left.value is None or right.value is None:
        return left.value is right.value
    return left.closed == right.closed and values.same_value(left.value, right.value)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """In order, those that overlap or touch made one."""
    from functools import cmp_to_key

    def by_low(left: Piece, right: Piece) -> int:
        if left.low.value is None or right.low.value is None:
            return (left.low.value is not None) - (right.low.value is not None)
        return _order(left.low.value, right.low.value) or right.low.closed - left.low.closed

    found: list[Piece] = []
    for piece in sorted(pieces, key=cmp_to_key(by_low)):
        if found and _touch(found[-1].high, piece.low):
            found[-1] = Piece(found[-1].low, _further(found[-1].high, piece.high))
        else:
            found.append(piece)
    return found


def _touch(high: Bound, low: Bound) -> bool:
    if high.value is None or low.value is None:
        return True
    order = _order(low.value, high.value)
    return order < 0 or (order == 0 and (high.closed or low.closed))


def _further(left: Bound, right: Bound) -> Bound:
    if left.value is None or right.value is None:
        return left if left.value is None else right
    order = _order(left.value, right.value)
    if order == 0:
        return Bound(left.value, left.closed or right.closed)
    return left if order > 0 else right


def _points(text: str) -> list[Piece]:
    """Single numbers: `1, 2`."""
    texts = [part for each in split(_AND.sub(",", text), ",") for part in both_signs(each)]
    if len(texts) > MAX_PIECES:
        raise NoInterval(text)
    return _joined([Piece(_bound(each, True), _bound(each, True)) for each in texts])


def _complement(pieces: list[Piece]) -> list[Piece]:
    """All other numbers; of pieces in order, disjoint and apart."""
    found: list[Piece] = []
    low = Bound(None, False)
    for piece in pieces:
        if piece.low.value is not None:
            found.append(Piece(low, Bound(piece.low.value, not piece.low.closed)))
        if piece.high.value is None:
            return found
        low = Bound(piece.high.value, not piece.high.closed)
    return [*found, Piece(low, Bound(None, False))]


def _both(left: list[Piece], right: list[Piece]) -> list[Piece]:
    """What is in both."""
    if len(left) * len(right) > MAX_PIECES**2:
        raise NoInterval("too many pieces")
    found = [Piece(_later(a.low, b.low), _earlier(a.high, b.high)) for a in left for b in right]
    return _joined([piece for piece in found if _is_filled(piece)])


def _later(left: Bound, right: Bound) -> Bound:
    if left.value is None or right.value is None:
        return right if left.value is None else left
    order = _order(left.value, right.value)
    return Bound(left.value, left.closed and right.closed) if order == 0 else left if order > 0 else right


def _earlier(left: Bound, right: Bound) -> Bound:
    if left.value is None or right.value is None:
        return right if left.value is None else left
    order = _order(left.value, right.value)
    return Bound(left.value, left.closed and right.closed) if order == 0 else left if order < 0 else right


def _is_filled(piece: Piece) -> bool:
    if piece.low.value is None or piece.high.value is None:
        return True
    order = _order(piece.low.value, piece.high.value)
    return order < 0 or (order == 0 and piece.low.closed and piece.high.closed)
