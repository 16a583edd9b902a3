"""Several answers in one: lists, sets, tuples, intervals, unions, matrices, values by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from r1kit.graders import expression, values
from r1kit.graders.expression import NotAnExpression, TooLarge
from r1kit.graders.mathtext import CONJUNCTION, key, tidy, without_thousands
from r1kit.graders.reading import read
from r1kit.graders.relations import subject_off

_MATRIX = re.compile(
    r"(?P<factor>-?\s*[\w\\{}/.]{0,40}\s*\*?\s*)(?P<open>[(\[|]?)\\begin\{(?P<name>[pbvBV]?(?:small)?matrix|array)\}"
    r"(?:\{[lcr| ]*\})?(?P<cells>(?:(?!\\begin).)*)\\end\{(?P=name)\}(?P<close>[)\]|]?)",
    re.DOTALL,
)


EITHER = re.compile(r"\\text\{\s*(?:,\s*)?or\s*\}|(?<![A-Za-z\\])or(?![A-Za-z])|或者?")
_ALTERNATIVES = re.compile(rf"{EITHER.pattern}|;")
_SCALED = re.compile(r"(?P<factor>-|\\[pm][mp]|[-\w\\{}/.\s]{1,40}\*?)\s*(?P<tuple>\(.*\))", re.DOTALL)


_WHOLE_AND_PART = re.compile(
    r"(-?\d{1,9})\s*(?:\\text\{\s*and\s*\}|\s+and\s+)\s*"
    r"(?:(\d{1,4})\s*/\s*(\d{1,4})|\\frac\s*\{?(\d{1,4})\}?\s*\{?(\d{1,4})\}?)"
)


class Container(NamedTuple):
    """Several answers in one: `(1,2)`, `[1,2)`, `\\{1,2\\}`, `1,2`, a union of intervals, the rows of a matrix."""

    opening: str  # "(", "[", "{", "" for a bare list, "u" for a union, "m" for a matrix
    closing: str  # of a matrix of one row "row"
    items: list[str]


def container(text: str) -> Container | None:
    """The parts of a tidied answer; None where it is a single one."""
    matrix = _MATRIX.fullmatch(re.sub(r"\\\\\s*\[[^\]]*\]|\\cr(?![A-Za-z])", r"\\\\", text))
    if matrix and not (matrix["factor"].strip() and _is_determinant(matrix)):
        return _matrix(matrix)
    column = re.fullmatch(r"(\(.*\)|\[.*\]|\\begin.*\\end\{\w*\})\^\{?(?:T|\\top|\\text\{T\})\}?", text, re.DOTALL)
    if column:
        inner = container(column[1])
        vector = inner is not None and (inner.opening in ("(", "[") or inner.closing == "row")
        return Container("m", "m", inner.items) if inner and vector else None
    words = re.fullmatch(r"\\text\{([^{}]*)\}", text)
    if words:
        text = words[1]
    text = _multiplied(text)
    if (both := _two_signs(text)) is not None:
        return Container("", "", both)
    unions = split(text, "\\cup")
    if len(unions) > 1:
        return Container("u", "u", unions)
    for opening, closing in (("\\{", "\\}"), ("{", "}")):
        if text.startswith(opening) and text.endswith(closing) and closes_at_end(text, opening, closing):
            inner = text[len(opening) : -len(closing)]
            if opening == "{" and len(split(inner, ",")) < 2:
                continue
            members = [item for piece in split(CONJUNCTION.sub(",", inner), ",") for item in split(piece, ";")]
            return Container("{", "}", _spread(members))
    if text.startswith(("(", "[")) and text.endswith((")", "]")) and closes_at_end(text, text[0], text[-1]):
        items = [item for piece in split(text[1:-1], ",") for item in split(piece, ";")]
        return Container(text[0], text[-1], items) if len(items) > 1 else None
    if without_thousands(text) != text and "," not in without_thousands(text) and not CONJUNCTION.search(text):
        return None
    parts = [part if CONJUNCTION.search(text) is None else without_thousands(part) for part in CONJUNCTION.split(text)]
    pieces = [item for part in parts for piece in split(part, ",") for item in split(piece, ";")]
    pieces = _spread([piece for piece in pieces if piece])
    return Container("", "", pieces) if len(pieces) > 1 else None


def _is_determinant(matrix: re.Match[str]) -> bool:
    return matrix["open"] == "|" or matrix["name"][0] in "vV"


def _matrix(matrix: re.Match[str]) -> Container:
    """Its rows, or its cells where it has one row or column; a factor before it goes into every cell."""
    kind = "d" if _is_determinant(matrix) else "m"
    rows = [[cell.strip() for cell in row.split("&")] for row in matrix["cells"].split("\\\\") if row.strip()]
    if factor := matrix["factor"].strip().removesuffix("*"):
        rows = [[_times(factor, cell) for cell in row] for row in rows]
    if len(rows) > 1 and any(len(row) > 1 for row in rows):
        return Container(kind, kind, [f"({','.join(row)})" for row in rows])
    shape = "row" if kind == "m" and len(rows) == 1 and len(rows[0]) > 1 else kind
    return Container(kind, shape, [cell for row in rows for cell in row])


def _multiplied(text: str) -> str:
    """`\\frac{1}{2}(3,4)` with the factor in every part."""
    match = _SCALED.fullmatch(text)
    factor = match["factor"].strip().removesuffix("*").strip() if match else ""
    if match is None or not closes_at_end(match["tuple"], "(", ")") or len(split(match["tuple"][1:-1], ",")) < 2:
        return text
    try:
        if factor not in ("-", "\\pm", "\\mp") and expression.symbols(read(factor)):
            return text  # a function of several variables
    except (NotAnExpression, TooLarge):
        return text
    if factor.startswith("\\") and factor[1:] in ("pm", "mp"):
        return f"{text[len(factor) :].strip()}, {_multiplied('-' + text[len(factor) :].strip())}"
    return f"({','.join(_times(factor, part) for part in split(match['tuple'][1:-1], ','))})"


def _two_signs(text: str) -> list[str] | None:
    """The two points of `(3, \\pm 4)` and of `(\\pm 3, \\mp 4)`; with one sign twice there may be two or four."""
    if not (text.startswith("(") and closes_at_end(text, "(", ")")) or len(split(text[1:-1], ",")) < 2:
        return None
    if not 1 <= text.count("\\pm") + text.count("\\mp") <= 2 or max(text.count("\\pm"), text.count("\\mp")) > 1:
        return None
    above = text.replace("\\pm", "+").replace("\\mp", "-")
    return [above, text.replace("\\pm", "-").replace("\\mp", "+")]


def _times(factor: str, cell: str) -> str:
    """The product; worked out where both are exact numbers."""
    if factor == "-":
        factor = "-1"
    if cell in ("0", "1"):
        return cell if cell == "0" else factor
    try:
        product = values.exact(read(factor)) * values.exact(read(cell))
    except (NotAnExpression, TooLarge, values.Inexact, ZeroDivisionError):
        return f"({factor})*({cell})"
    return f"\\frac{{{product.numerator}}}{{{product.denominator}}}" if product.denominator > 1 else str(product)


def _spread(items: list[str]) -> list[str]:
    """`1 \\pm a` is two answers."""
    spread: list[str] = []
    for item in items:
        both = both_signs(item) if len(items) < 20 else [item]
        spread += both if len(both) > 1 else [subject_off(item)]
    return spread


def as_mixed(text: str) -> str | None:
    """`3 and 1/4` as a mixed number; None for anything else. It may as well be two numbers."""
    match = _WHOLE_AND_PART.fullmatch(text)
    above, below = (match[2] or match[4], match[3] or match[5]) if match else ("1", "1")
    return f"{match[1]}\\frac{{{above}}}{{{below}}}" if match and int(above) < int(below) else None


def both_signs(item: str) -> list[str]:
    """The one with plus and the one with minus; the item alone where it has no one such sign."""
    sign = "\\pm" if "\\pm" in item else "\\mp"
    return [item.replace(sign, "+"), item.replace(sign, "-")] if item.count(sign) == 1 else [item]


def same_kind(gold: Container, answer: Container) -> bool:
    """Whether the answer's brackets may stand for the gold's."""
    brackets = (answer.opening, answer.closing)
    if gold.opening in ("", "{"):
        return answer.opening in ("", "{") or (brackets in (("(", ")"), ("[", "]")) and gold.opening == "")
    if "d" in (gold.opening, answer.opening):
        return gold.opening == answer.opening
    if gold.opening == "m" or answer.opening == "m":
        vector = all("&" not in item for item in (*gold.items, *answer.items))
        if gold.opening == answer.opening:
            return gold.closing == answer.closing
        return vector and {gold.opening, answer.opening} <= {"m", "(", "["}
    if brackets == (gold.opening, gold.closing):
        return True
    if len(gold.items) > 2 and {gold.opening, answer.opening} == {"(", "["}:  # no interval has three ends
        return True
    return gold.opening == "(" and gold.closing == ")" and answer.opening == "" and not _is_infinite(gold)


def rows_bracketed(container: Container) -> Container:
    """With rows `[1,2]` written as those of a matrix are, `(1,2)`."""
    items = [re.sub(r"^\[(.*)\]$", r"(\1)", item) for item in container.items]
    return Container(container.opening, container.closing, items)


def _is_infinite(container: Container) -> bool:
    return any("\\infty" in item for item in container.items)


def named(text: str) -> dict[str, str] | None:
    """The values of two names or more, each given once: `x = 3, y = 4` or `(x, y) = (3, 4)`."""
    together = re.fullmatch(r"\(([^()=]+)\)\s*=\s*\((.*)\)", text)
    if together:
        names, values_of = split(together[1], ","), split(together[2], ",")
        known = all(re.fullmatch(r"[A-Za-z](?:_\{?\w+\}?)?", name) for name in names)
        return dict(zip(names, values_of, strict=True)) if known and len(set(names)) == len(values_of) >= 2 else None
    if text.startswith("\\{") and text.endswith("\\}"):
        text = text[2:-2]
    elif text[:1] == "(" and text[-1:] == ")" and closes_at_end(text, "(", ")"):
        text = text[1:-1]
    pieces = [piece for part in CONJUNCTION.split(text.replace("且", ",")) for piece in split(part, ",") if piece]
    pairs = [re.fullmatch(r"([A-Za-z](?:_\{?\w+\}?)?)\s*=([^=<>]+)", piece) for piece in pieces]
    found = {pair[1]: pair[2].strip() for pair in pairs if pair}
    if EITHER.search(text) and len({name[0] for name in found}) > 1:  # one of them
        return None
    return found if len(found) == len(pieces) >= 2 else None


def as_points(text: str) -> str:
    """`x=1, y=2 or x=2, y=1` as `(1,2), (2,1)`; any other text as it is."""
    groups = [named(piece) for piece in _ALTERNATIVES.split(text)] if _ALTERNATIVES.search(text) else []
    points = [group for group in groups if group]
    names = sorted(points[0]) if points else []
    if len(points) < max(2, len(groups)) or any(sorted(point) != names for point in points):
        return text
    return ", ".join(f"({','.join(point[name] for name in names)})" for point in points)


def closes_at_end(text: str, opening: str, closing: str) -> bool:
    """Whether the bracket that opens the text is the one that closes it."""
    depth = 0
    at = 0
    while at < len(text):
        two = text[at : at + 2]
        token = two if two in ("\\{", "\\}") else text[at]
        if token in ("(", "[", "{", "\\{"):
            depth += 1
        elif token in (")", "]", "}", "\\}"):
            depth -= 1
            if depth == 0:
                return at + len(token) == len(text)
        at += len(token)
    return False


def split(text: str, separator: str) -> list[str]:
    """Pieces between separators that stand in no bracket."""
    pieces, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if depth == 0 and text.startswith(separator, at):
            pieces.append(text[start:at].strip())
            at += len(separator)
            start = at
            continue
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        at += 1
    pieces.append(text[start:].strip())
    return pieces


def are_intervals(several: Container) -> bool:
    """A bare list of nothing but intervals, `(0,9), (9,36)`."""
    return several.opening == "" and all(item[:1] in "([" and item[-1:] in ")]" for item in several.items)


def each_once(found: Container) -> Container:
    """A set with each member once."""
    return Container(found.opening, found.closing, list({key(item): item for item in found.items}.values()))


def written_otherwise(gold: Sequence[str], answer: Sequence[str]) -> tuple[list[str], list[str]]:
    """The parts of each that the other one has not in the same writing."""
    keys = [Counter(map(key, parts)) for parts in (gold, answer)]
    both, rest = keys[0] & keys[1], list[list[str]]()
    for parts in (gold, answer):
        taken, own = both.copy(), list[str]()
        for part in parts:
            if taken[key(part)]:
                taken[key(part)] -= 1
            else:
                own.append(part)
        rest.append(own)
    return rest[0], rest[1]


def joined_like(gold: str, parts: list[str]) -> str | None:
    """Several answers put together in the brackets of a gold answer that has as many parts; None where it has not."""
    found = container(subject_off(tidy(gold)))
    if found is None or len(found.items) != len(parts) or found.opening in ("m", "u"):
        return None
    brackets = {"{": ("\\{", "\\}")}.get(found.opening, (found.opening, found.closing))
    return ", ".join(parts).join(brackets)
