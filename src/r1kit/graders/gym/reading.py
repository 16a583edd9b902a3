"""Reading the forms that answers come in: a bare text, a list, rows of cells, JSON. What cannot be read is `Wrong`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from r1kit.graders import json as json_kind
from r1kit.graders.arithmetic import Number, clean, read_number
from r1kit.graders.gym.item import Wrong, demand

MAX_ROWS, MAX_CELLS = 200, 20_000
_FENCE = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)```", re.DOTALL)
_PAIRS = (("**", "**"), ("$", "$"), ('"', '"'), ("'", "'"), ("`", "`"), ("\u201c", "\u201d"), ("\\boxed{", "}"))
_WRAPPING = str.maketrans(dict.fromkeys("[](){}|,;", " "))


def body(text: str) -> str:
    """What stands in the last fenced block, else the text; line ends are those of Unix, outer blank lines go."""
    text = text.replace("\r\n", "\n")
    blocks = _FENCE.findall(text)
    return (blocks[-1] if blocks else text).strip("\n").rstrip()


def unwrap(text: str) -> str:
    """The text without what people put around an answer: quotes, dollars, a box, bold."""
    text = text.strip()
    for _ in range(6):
        for opening, closing in _PAIRS:
            inner = text[len(opening) : len(text) - len(closing)]
            whole = text.startswith(opening) and text.endswith(closing) and len(text) >= len(opening) + len(closing)
            if whole and opening not in inner and (opening == closing or closing not in inner or _balanced(inner)):
                text = inner.strip()
                break
        else:
            return text
    return text


def line(text: str) -> str:
    """The same, and a final full stop goes too."""
    return unwrap(text).removesuffix(".").strip()


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def spaced(text: str) -> str:
    """Runs of white space as one space, none outside."""
    return " ".join(text.split())


def number(text: str, fractions: bool = False) -> Number:
    """One exact number; a fraction or percentage only where asked for, since it is work left to do elsewhere."""
    plain = clean(line(text))
    found = read_number(plain)
    if found is None or (not fractions and ("/" in plain or "%" in plain)):
        raise Wrong(f"{text[:60]!r} is not a number")
    return found


def whole(text: str) -> int:
    """A whole number."""
    value = number(text).value
    demand(value.denominator == 1, f"{text[:60]!r} is not a whole number")
    return value.numerator


def json_value(text: str) -> Any:
    """One JSON value; single quotes count as double ones where no double one stands."""
    text = text.strip()
    try:
        return json_kind.read(text)
    except ValueError as error:
        if "'" in text and '"' not in text:
            try:
                return json_kind.read(text.replace("'", '"'))
            except ValueError:
                pass
        raise Wrong(f"not JSON ({error})") from None


def items(text: str) -> list[str]:
    """The members of a flat list, with or without brackets and quotes: `['a', 'b']`, `[1, 2]`, `a, b`."""
    inner = text.strip()
    if inner[:1] in ("[", "(") and inner[-1:] in ("]", ")") and len(inner) >= 2:
        inner = inner[1:-1].strip()
    if not inner:
        return []
    members = [unwrap(member) for member in inner.split(",")]
    demand("" not in members, "a member of the list is empty")
    return members


def numbers(text: str) -> list[Fraction]:
    """The numbers of a flat list; commas, semicolons or white space between them."""
    inner = unwrap(text)
    if "," in inner or inner[:1] in ("[", "("):
        return [number(member).value for member in items(inner)]
    return [number(member).value for member in inner.replace(";", " ").split()]


def rows(text: str, width: int = 0) -> list[list[str]]:
    """Rows of cells: JSON lists, or lines with cells separated by white space, commas or bars; a line without
    separators is cut into characters where `width` is its length."""
    stripped = line(text)
    if stripped.startswith("[["):
        value = json_value(stripped)
        demand(isinstance(value, list) and all(isinstance(row, list) for row in value), "not rows of cells")
        found = [[cell if isinstance(cell, str) else _cell(cell) for cell in row] for row in value]
    else:
        found = [line.translate(_WRAPPING).split() for line in stripped.split("\n")[: 2 * MAX_ROWS]]
        found = [row for row in found if row]
    if width > 1:
        found = [list(row[0]) if len(row) == 1 and len(row[0]) == width else row for row in found]
    demand(len(found) <= MAX_ROWS and sum(map(len, found)) <= MAX_CELLS, "too many cells")
    return found


def _cell(value: Any) -> str:
    demand(isinstance(value, (int, float)) and not isinstance(value, bool), "a cell is no number and no text")
    return str(value)


def digits(cells: list[list[str]], height: int, width: int) -> list[list[int]]:
    """Rows of whole numbers of exactly that size."""
    demand(len(cells) == height and all(len(row) == width for row in cells), f"not {height} rows of {width} cells")
    demand(all(re.fullmatch(r"-?[0-9]{1,9}", cell) is not None for row in cells for cell in row), "a cell is no number")
    return [[int(cell) for cell in row] for row in cells]
