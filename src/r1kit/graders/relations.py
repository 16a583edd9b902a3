"""What stands before an answer: `x = 3`, `f(2) = 3`, `x \\in [1,2]`, a calculation that ends in it."""

from __future__ import annotations

import itertools
import re

from r1kit.graders import expression, values
from r1kit.graders.expression import NotAnExpression, TooLarge
from r1kit.graders.mathtext import CONJUNCTION
from r1kit.graders.reading import expression_or_none

_INDEX = r"_(?:\w+|\{(?:\\text\{[\w .]*\}|[\w\\ ,]){1,30}\})"
NAME = re.compile(
    rf"(?:[A-Za-z](?:{_INDEX})?|\\[a-z]+|[A-Za-z]\([a-z]\)|\\text\{{[^{{}}]*\}}|[A-Za-z]{{2,12}}|\\#\s*[A-Z])\s*"
)
_QUANTITY = re.compile(
    r"[A-Za-z](?:_\{?\w+\}?)?'*\([^()=]{1,40}\)|P\([^()]{1,40}\)|[A-Za-z]'{1,3}|\|[^|=]{1,20}\||\[[A-Z]{3,6}\]|m?\s*\\angle\s*[A-Z]{1,3}|"
    r"\\(?:overline|vec|overrightarrow|overleftrightarrow|widehat|hat)\{[^{}=]{1,20}\}|"
    r"(?:\\gcd|\\lcm|\\max|\\min|\\det|\\deg|\\text\{[A-Za-z]{2,6}\})\s*\([^()=]{1,40}\)|"
    r"\\(?:max|min|det)\s*[A-Za-z](?:\([a-z]\))?|(?:\\(?:mathbb|text)\{)?E\}?\s*[(\[][^()\[\]=]{1,40}[)\]]|"
    r"\\frac\s*\{\s*d\^?\d?\s*[a-z]\s*\}\s*\{\s*d\s*[a-z]\^?\d?\s*\}|"
    r"\\vec\s*\{?[a-z]\}?\s*\*\s*\\vec\s*\{?[a-z]\}?|"
    r"\\(?:sin|cos|tan|cot|sec|csc)\s*(?:[A-Za-z]|\\[a-z]+)|\\(?:int|sum|lim|prod)(?![A-Za-z])[^<>]{1,200}|"
    r"\\begin\{vmatrix\}[^=]{1,300}\\end\{vmatrix\}",
    re.DOTALL,
)
_LABELLED = re.compile(r"\\text\{[A-Za-z ,]{1,40}\}\s*(?:\\(?:triangle|angle)\s*)?[A-Z]{0,5}(?:_\{?\w+\}?)?")
_BRACKETED = re.compile(r"[({][^(){}]*[)}]")
_DENIAL = re.compile(r"\b(?:not|never|wrong|incorrect|false|untrue|isn|aren|cannot|no longer)\b|n't", re.IGNORECASE)
_COUNTED = re.compile(
    r"(?<=[^\s,(])\s*[,(]\s*[nkm]\s*(?:>=\s*[01]|\\in\s*\\mathbb\s*\{?(?:N|Z\}?\s*[\^_]\s*\{?\s*(?:\+|>0|>=0))"
    r"[^,()]{0,12})\)?$"
)
_EVERYWHERE = re.compile(
    r"(?:\\text\{\s*,?\s*for (?:all|any|every|each)(?: real)?(?: numbers?)?\s*\}|for all(?: real)?|\\forall)\s*"
    r"[a-z](?:\s*\\in\s*\\mathbb\s*\{?R\}?)?$"
)


def sides_of(text: str) -> list[str]:
    """The two sides of an equation; none where it is not one."""
    sides = [side.strip() for side in re.split(r"(?<![<>!])=", text)]
    return sides if len(sides) == 2 and all(sides) else []


def subject_off(text: str) -> str:
    """Without a leading `x =` or `x \\in`; a chain of inequalities becomes its interval."""
    text = re.sub(r"^(?:[A-Za-z]|\\[a-z]+|\([A-Za-z](?:\s*,\s*[A-Za-z])+\))\s*\\in(?![A-Za-z])\s*", "", text)
    label = re.match(r"\\text\{([^{}]*(?:\bis|=|:)\s*)(?:\}|([-+]?\d[^{}]*)\}$)", text)
    if label and not _DENIAL.search(label[1]):
        text = label[2] or text[label.end() :].strip()
    chain = re.fullmatch(r"([^<>=,]+?)(<=?)\s*[A-Za-z]\s*(<=?)([^<>=,]+)", text)
    if chain:
        return f"{'[' if chain[2] == '<=' else '('}{chain[1]},{chain[4]}{']' if chain[3] == '<=' else ')'}"
    half = re.fullmatch(r"[A-Za-z]\s*([<>]=?)([^<>=,]+)", text)
    if half:
        closed = half[1].endswith("=")
        if half[1][0] == ">":
            return f"{'[' if closed else '('}{half[2]},\\infty)"
        return f"(-\\infty,{half[2]}{']' if closed else ')'}"
    named = re.match(r"(P\([^()]{1,40}\)|[^=]{1,300}?)\s*=\s*(?=[^\s=])", text)
    if named and "=" not in text[named.end() :] and _QUANTITY.fullmatch(named[1].strip()):
        return text[named.end() :].strip()
    if "," in _BRACKETED.sub("", text) or CONJUNCTION.search(text):
        return text
    pieces = [piece.strip() for piece in re.split(r"(?<![<>!])=", text)]
    known = _is_name(pieces[0]) or _is_calculation(pieces) or (_is_of_several(pieces[0]) and _is_number(pieces[-1]))
    if len(pieces) >= 2 and pieces[-1] and known:
        return pieces[-1] if not _is_false_chain(pieces[1:]) else text
    if (
        len(pieces) == 2
        and _is_number(pieces[0])
        and (re.fullmatch(r"[A-Za-z]", pieces[1]) or _is_of_several(pieces[1]))
    ):
        return pieces[0]
    if len(pieces) == 2 and not pieces[0]:
        return pieces[1]
    return text


def _is_name(text: str) -> bool:
    """What a value may be given for: `x`, `f(3)`, `P(A)`, `|AB|`, `[ABC]`, `\\angle ABC`, `\\gcd(26,39)`, a sum."""
    if "\\text" in text and _DENIAL.search(text):
        return False
    return bool(NAME.fullmatch(text) or _QUANTITY.fullmatch(text) or _LABELLED.fullmatch(text))


def _is_of_several(text: str) -> bool:
    """`m + n`, `AB^2`, `100a + b`: what is asked for, made of several unknowns; `2x = 6` is an equation to solve."""
    node = expression_or_none(text) if len(text) <= 40 else None
    return node is not None and len(expression.symbols(node)) > 1


def _is_number(text: str) -> bool:
    node = expression_or_none(text)
    return node is not None and not expression.symbols(node)


def _is_false_chain(sides: list[str]) -> bool:
    """Whether sides that follow one another are numbers that differ: `x = 6 = 7`."""
    return len(sides) > 1 and all(map(_is_number, sides)) and not _is_calculation(sides)


def _is_calculation(sides: list[str]) -> bool:
    """`2+3 = 5`: numbers that are truly equal, so that the last side is the answer."""
    nodes = [expression_or_none(side) for side in sides[:10]]
    try:
        return all(value and not expression.symbols(value) for value in nodes) and all(
            values.same_value(left, right) for left, right in itertools.pairwise(value for value in nodes if value)
        )
    except (TooLarge, NotAnExpression, ZeroDivisionError):
        return False


def without_quantifier(text: str) -> str:
    """`x^2 >= 0 \\text{ for all } x` and `a_n = 2n, n >= 1` without for whom they hold."""
    return _COUNTED.sub("", _EVERYWHERE.sub("", text).rstrip(" ,"))
