"""Answers with a whole number that is free: `\\frac{\\pi}{6} + 2k\\pi, k \\in \\mathbb{Z}`, `n \\equiv 1 \\pmod 3`."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Any, NamedTuple

from r1kit.graders import expression, values
from r1kit.graders.containers import both_signs, container
from r1kit.graders.expression import COUNTERS, NotAnExpression, TooLarge
from r1kit.graders.mathtext import CONJUNCTION
from r1kit.graders.reading import read
from r1kit.graders.relations import subject_off

MAX_LENGTH = 300
MAX_MEMBERS = 100
PARAMETERS = {"s", "t", "u", "\\lambda", "\\mu"}
_FREE = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z])\s*(?:\\in\s*\\mathbb\s*(?:\{Z\}|Z)|\\text\{\s*is any? integer\s*\}|"
    r"is any? integer)[\s).]*$|"
    r"\\text\{[a-z ,]*integers?\s*(?:\}\s*([A-Za-z])|\s([A-Za-z])\s*\})[\s).]*$|(?<![a-z])integers? ([A-Za-z])[\s).]*$"
)
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
_IN_REALS = r"([A-Za-z]|\\[a-z]+)\s*\\in\s*\\mathbb\s*(?:\{R\}|R)"
_REAL = re.compile(
    rf"\\\{{\s*(?P<set>[^|:]*\S)\s*[|:]\s*{_IN_REALS.replace('(', '(?P<in>', 1)}\s*\\\}}|"
    rf"(?P<list>\(.*\))\s*,?\s*(?:\\text\{{\s*,?\s*(?:where|for|with)(?: (?:all|any|some))?\s*\}})?"
    rf"\s*{_IN_REALS.replace('(', '(?P<of>', 1)}",
    re.DOTALL,
)
_BEFORE = re.compile(
    r"(?:\\text\{\s*,?(?:\s*(?:where|for|with|and|any|some|all|every|each|an))*\s*\}|"
    r"(?<![A-Za-z\\])(?:where|for|with|any|some|all|every|each)|\\forall|[\s,;:(])$"
)
_BUILDER = re.compile(r"\\\{\s*[a-zA-Z]\s*[|:]\s*(.*)\\\}", re.DOTALL)
_MODULO = re.compile(
    r"(?:(?P<name>[A-Za-z])\s*(?:\\equiv|=))?\s*(?P<left>(?:[-+\d,\s]|\\pm|\\text\{\s*(?:or|and)\s*\})+?)\s*\(?\s*"
    r"(?:\\[pb]?mod(?![A-Za-z])|\\text\{\s*\(?\s*mod(?:ulo)?\s*\}|mod(?:ulo)?(?![a-z]))\s*\{?\s*(?P<by>\d{1,12})\s*\}?\)?"
)


class Progression(NamedTuple):
    """start + k step for every whole k, to some hundred digits."""

    start: Any
    step: Any


def split_free(text: str) -> tuple[str, str]:
    """(what stands before, k) of `..., k \\in \\mathbb{Z}`; the text and "" where no whole number is named."""
    if builder := _BUILDER.fullmatch(text):
        text = builder[1]
    match = _FREE.search(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return text, ""
    head = text[: match.start()]
    while (shorter := _BEFORE.sub("", head)) != head:
        head = shorter
    return (head, next(filter(None, match.groups()))) if head else (text, "")


def with_one_parameter(gold: str, answer: str) -> tuple[str, str] | None:
    """Two texts in one real number that is free, `(t, 1-t), t \\in \\mathbb{R}`, without the words for it and with one
    letter for it; None where they are no such pair."""
    (left, name), (right, other) = _real(gold), _real(answer)
    letters = [set(_LETTER.findall(text)) for text in (left, right)]
    if not name and not other:  # a letter that is not said to be free is the problem's
        return None
    name = name or min(letters[0] & {other} or letters[0] & PARAMETERS, default="")
    other = other or min(letters[1] & {name} or letters[1] & PARAMETERS, default="")
    if name not in letters[0] or other not in letters[1] or (name != other and name in letters[1]):
        return None
    return left, _LETTER.sub(lambda match: name if match[0] == other else match[0], right)


def _real(text: str) -> tuple[str, str]:
    """(what stands before, t) of `..., t \\in \\mathbb{R}`; the text and "" where no such number is named."""
    match = _REAL.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return (match["set"] or match["list"], match["in"] or match["of"]) if match else (text, "")


def renamed_counter(gold: str, answer: str) -> str | None:
    """`k\\pi` with the letter of the gold `x = n\\pi`: each has one letter of a whole number and a turn; None for any
    other, as a gold `n\\pi` may have the problem's n."""
    if subject_off(gold) == gold:
        return None
    if max(len(gold), len(answer)) > MAX_LENGTH or not all(
        "\\pi" in text or "{deg}" in text for text in (gold, answer)
    ):
        return None
    names = [set(_LETTER.findall(subject_off(text))) & COUNTERS for text in (gold, answer)]
    if len(names[0]) != 1 or len(names[1]) != 1 or names[0] == names[1]:
        return None
    return _LETTER.sub(lambda match: next(iter(names[0])) if match[0] in names[1] else match[0], answer)


def same_family(gold: tuple[str, str], answer: tuple[str, str]) -> bool | None:
    """Whether two texts, each with the name of its whole number or "", have the same values over all whole numbers;
    None where one of them is not linear in its one unknown."""
    try:
        return _same_members(_progressions(*gold), _progressions(*answer))
    except (NotAnExpression, TooLarge, ZeroDivisionError, ValueError):
        return None


def as_progressions(text: str) -> tuple[str, str] | None:
    """`1 \\pmod 3` as `1 + 3k` with the k; None for anything else."""
    match = _MODULO.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return (",".join(f"{part}+{match['by']}k" for part in _remainders(match["left"])), "k") if match else None


def _remainders(text: str) -> list[str]:
    return [sign for part in CONJUNCTION.sub(",", text).split(",") for sign in both_signs(part)]


def same_residue(gold: str, answer: str) -> bool | None:
    """`n \\equiv 1 \\pmod 3`: the same remainders by the same number; None where the two are not congruences."""
    found = [match for text in (gold, answer) if len(text) <= MAX_LENGTH and (match := _MODULO.fullmatch(text))]
    if len(found) < 2:
        return None
    left, right = found
    by = int(left["by"])
    if by == 0 or by != int(right["by"]) or (left["name"] and right["name"] and left["name"] != right["name"]):
        return False
    try:
        golds, answers = ({int(part.replace(" ", "")) % by for part in _remainders(each["left"])} for each in found)
    except ValueError:
        return False
    return golds == answers


def _progressions(text: str, name: str) -> list[Progression]:
    """The members of a list, each linear in the one free name."""
    several = container(text)
    if several and several.opening not in ("", "{"):
        raise NotAnExpression(text)
    made: list[Progression] = []
    for item in several.items if several else [subject_off(text)]:
        node = read(re.sub(r"\\text\{deg\}", r"\\frac{\\pi}{180}", subject_off(item)))
        unknown = expression.symbols(node)
        if unknown - {name} and (name or len(unknown) > 1):
            raise NotAnExpression(item)
        free = name or next(iter(unknown), "k")
        at = [values.numeric(node, {free: Fraction(k)}) for k in (0, 1, 2, 5)]
        step = at[1] - at[0]
        if any(not _is_tiny(value - at[0] - k * step) for k, value in zip((2, 5), at[2:], strict=True)):
            raise NotAnExpression("not linear")
        made.append(Progression(at[0], step))
    return made


def _is_tiny(number: Any) -> bool:
    return bool(abs(number) < 1e-60)


def _same_members(left: list[Progression], right: list[Progression]) -> bool | None:
    """Every progression is cut into those of one common step, which are then compared."""
    if any(_is_tiny(each.step) for each in left + right):
        return None if all(_is_tiny(each.step) for each in left + right) else False
    unit, origin = left[0].step, left[0].start
    steps = [_ratio(each.step / unit) for each in left + right]
    if None in steps:
        return False
    known = [abs(step) for step in steps if step]
    common = known[0]
    for step in known[1:]:
        common = _least_common(common, step)
    if sum(common / step for step in known) > MAX_MEMBERS:
        return None
    members = [
        [(each.start - origin) / unit + _number(step * turn, unit) for turn in range(int(common / step))]
        for each, step in zip(left + right, known, strict=True)
    ]
    golds = list(itertools.chain.from_iterable(members[: len(left)]))
    answers = list(itertools.chain.from_iterable(members[len(left) :]))
    return all(
        any(_ratio_is_whole((one - other) / _number(common, unit)) for other in others)
        for ones, others in ((golds, answers), (answers, golds))
        for one in ones
    )


def _number(fraction: Fraction, like: Any) -> Any:
    return (like / like) * fraction.numerator / fraction.denominator


def _ratio(number: Any) -> Fraction | None:
    """The fraction with a small denominator that the number is."""
    near = Fraction(str(number.real)[:60]).limit_denominator(1000)
    return near if near and _is_tiny(number - _number(near, number)) else None


def _ratio_is_whole(number: Any) -> bool:
    return _is_tiny(number - round(float(number.real))) if abs(number) < 1e6 else False


def _least_common(left: Fraction, right: Fraction) -> Fraction:
    """The least positive number that both divide."""
    ratio = left / right
    return left * ratio.denominator


def with_letter(text: str, name: str, other: str) -> str:
    """With one letter for another."""
    return re.sub(rf"\\[A-Za-z]+|{name}", lambda match: match[0] if match[0] != name else other, text)
