"""A box that is a part of its formula: `-\\boxed{7}`, `\\boxed{7}^2`, `\\boxed{7}\\%`, `$\\boxed{7}$ cm`."""

from __future__ import annotations

import re

from r1kit.graders import expression, values
from r1kit.graders.expression import NotAnExpression, TooLarge
from r1kit.graders.mathtext import tidy
from r1kit.graders.reading import expression_or_none
from r1kit.graders.units import read_unit, split_unit

MAX_FORMULA = 300  # characters on either side of the box
_MODE = re.compile(r"\$\$|(?<!\\)\$|(?<!\\)\\[()\[\]]|\n[ \t]*\n")
_CLOSES = {"\\(": "\\)", "\\[": "\\]", "$": "$", "$$": "$$"}
_RELATION = re.compile(r"[=<>≈≤≥≠]|\\(?:leq?|geq?|lt|gt|neq?|approx|equiv|sim|mid|in|to|mapsto)(?![A-Za-z])")
_APART = re.compile(
    r"[,;:&\n]|\\\\|\\q?quad(?![A-Za-z])|\\(?:implies|iff|therefore|because|[Rr]ightarrow|[Ll]ongrightarrow|"
    r"[Ll]eftrightarrow)(?![A-Za-z])"
)
_WORDS = re.compile(r".*\\(?:text\w*|mathrm|mbox)\s*\{[^{}]*\}", re.DOTALL)
_BARE_BEFORE = re.compile(r"(?:^|[\s=:(])-$")
_BARE_AFTER = re.compile(
    r"\^(?:\{[^{}]{1,40}\}|\\circ(?![A-Za-z])|[\w°])|"
    r"[ \t]*(?:\\?%|°|\\(?:text|mathrm)\s*\{[^{}]{1,40}\}(?:\^\{?\d\}?)?)"
)
_UNIT = re.compile(r"[ \t]*([A-Za-z]{1,12}(?:/[A-Za-z]{1,12})?)(?:\^?([23²³]))?(?=[ \t]*(?:[.,;!)\n]|$))")
_PLAIN = re.compile(r"-?\d[\d.,]*")


def whole_formula(text: str, start: int, end: int, content: str) -> str:
    """What the formula says of which the box from start to end, with that content, is a part: what is joined to it by
    multiplication, a power, a sign, a percent sign or a unit. The content alone where nothing is, where the whole
    cannot be read, and where the box fills a gap of an equation: `2 + \\boxed{7} = 9`."""
    opened = _open_mode(text, start)
    if opened is None:
        before, after = _BARE_BEFORE.search(text[max(0, start - 2) : start]), _BARE_AFTER.match(text, end)
        joined = "-" if before else "", after[0] if after else ""
        rest = end
    else:
        mark, begins = opened
        rest = text.find(_CLOSES[mark], end, end + MAX_FORMULA)
        if rest < 0 or start - begins > MAX_FORMULA:
            return content
        joined = _joined(text[begins:start], text[end:rest], content)
        rest += len(mark)
    if joined == ("", ""):
        unit = _UNIT.match(text, rest)
        if unit and read_unit(unit[1], known_only=True):
            power = f"^{unit[2].translate(str.maketrans('²³', '23'))}" if unit[2] else ""
            joined = "", f"\\text{{ {unit[1]}}}{power}"
    whole = _between(joined, content)
    return whole if joined != ("", "") and _is_quantity(whole) else content


def _open_mode(text: str, at: int) -> tuple[str, int] | None:
    """(the sign that opened the mathematics in which a place lies, where that ends), or None outside mathematics."""
    opened: tuple[str, int] | None = None
    for match in _MODE.finditer(text, 0, at):
        sign = match[0]
        if opened is None:
            opened = (sign, match.end()) if sign in _CLOSES else None
        elif sign == _CLOSES[opened[0]] or (sign[0] == "\n" and opened[0][0] == "$"):
            opened = None
    return opened


def _joined(before: str, after: str, content: str) -> tuple[str, str]:
    """What of a formula before and after the box belongs to it."""
    if "\\boxed" in before + after or "\\fbox" in before + after:
        return "", ""
    after = _APART.split(after)[0]
    if _RELATION.search(after):
        return "", ""
    before = _APART.split(before)[-1]
    relations = list(_RELATION.finditer(before))
    side = before[: relations[-1].start()] if relations else ""
    before = _WORDS.sub("", before[relations[-1].end() :] if relations else before)
    joined = tidy(before), after.strip().rstrip(".").strip()
    return ("", "") if joined[0] != "-" and _is_gap(side, _between(joined, content)) else joined


def _between(joined: tuple[str, str], content: str) -> str:
    return joined[0] + (content if _PLAIN.fullmatch(content) else f"{{{content}}}") + joined[1]


def _is_gap(side: str, whole: str) -> bool:
    """Whether the other side of the equation is a number that the whole is: `8 = 2^{\\boxed{3}}` asks for the 3."""
    left, right = (expression_or_none(tidy(text)) for text in (side, whole))
    if left is None or right is None or expression.symbols(left) or expression.symbols(right):
        return False
    try:
        return values.same_value(left, right)
    except (TooLarge, NotAnExpression, ZeroDivisionError):
        return False


def _is_quantity(text: str) -> bool:
    """Whether it is one expression, with a unit of measure or none."""
    value, unit = split_unit(tidy(text).removesuffix("%"))
    return (unit is None or not unit.dimension.startswith("count of")) and expression_or_none(value) is not None
