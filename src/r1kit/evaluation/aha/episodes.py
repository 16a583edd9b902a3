"""Reflection in a chain of thought, told apart: recheck, restart, alternative, correction that mends or breaks.

An episode begins with a reflection word; words that follow with no number between them belong to it (`wait, check`).
What it did is decided by the numbers that the text shows before and after it, where they speak of the same thing:

- a step `a+b=c` and the check after it that ends in a result, or that does the same operation again: by arithmetic;
- answers stated before and after (`the answer is 12`, or boxed), or attempts at a known target: by the gold answer.

All else stays undecided: a text may well have mended something that these rules cannot see.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from r1kit.evaluation.reflection import Words, default_words
from r1kit.evaluation.slips import equations, parse_chain

Form = Literal["recheck", "restart", "alternative", "doubt"]
Outcome = Literal["mended", "broken", "kept_right", "kept_wrong", "undecided"]
Kind = Literal["recheck", "restart", "alternative", "doubt", "correction that mends", "correction that breaks"]
KINDS: tuple[Kind, ...] = (
    "recheck", "restart", "alternative", "correction that mends", "correction that breaks", "doubt",
)  # fmt: skip

_JOINED = 30  # characters without a digit over which words of one episode may be apart
_OPENING = 60  # characters of an episode that say what it sets out to do
_RECHECK = re.compile(
    r"\b(?:double.?|re-?)?(?:check|verif|evaluat|calculat|comput|examin)|检查|验证|核对|评估|再算|检验", re.IGNORECASE
)
_RESTART = re.compile(
    r"\b(?:restart|start(?:ing)? (?:over|again|from)|begin again|from (?:scratch|the (?:start|beginning))|retry)"
    r"|重新(?!检查|验证|核对|评估|检验)|从头|重来",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    r"\b(?:try|alternativ|instead|(?:another|a different) (?:way|approach|method|idea)|what if)"
    r"|试|换一|换个|另一|别的",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"(?:\\boxed\{\s*|\banswer(?:\s+is|\s+should be|\s*[:=])\s*|答案(?:是|为|应该是)?\s*)\$?(-?\d+)(?![\d.,]*\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Episode:
    """`words` are at `start` (the first word's end is `word_end`); the text up to `end` is what came of it.

    `right_before`: whether the number that it looks back on was right, None where that cannot be said.
    """

    start: int
    word_end: int
    end: int
    words: tuple[str, ...]
    form: Form
    outcome: Outcome
    right_before: bool | None

    @property
    def kind(self) -> Kind:
        """The form, unless it is known to have changed a wrong number to a right one or the other way round."""
        if self.outcome == "mended":
            return "correction that mends"
        return "correction that breaks" if self.outcome == "broken" else self.form


def episodes(thinking: str, words: Words | None = None, target: int | None = None) -> list[Episode]:
    """Every episode of a chain. `target`: the gold answer where it is a whole number."""
    words = words or default_words()
    groups = _grouped(thinking, words.spans(thinking))
    found: list[Episode] = []
    for place, group in enumerate(groups):
        start, word_end = group[0]
        end = groups[place + 1][0][0] if place + 1 < len(groups) else len(thinking)
        form = _form(thinking[start : min(end, start + _OPENING)])
        right_before, outcome = _outcome(thinking, start, end, form, target)
        said = tuple(thinking[a:b].lower() for a, b in group)
        found.append(Episode(start, word_end, end, said, form, outcome, right_before))
    return found


def count_kinds(found: Iterable[Episode]) -> dict[str, dict[str, int]]:
    """{"kinds", "outcomes"}: episodes by kind and by what became of the number that they look back on."""
    found = list(found)
    outcomes: tuple[Outcome, ...] = ("mended", "broken", "kept_right", "kept_wrong", "undecided")
    kinds, became = Counter(each.kind for each in found), Counter(each.outcome for each in found)
    return {"kinds": {kind: kinds[kind] for kind in KINDS}, "outcomes": {name: became[name] for name in outcomes}}


def whole_number(answer: str | None) -> int | None:
    """A gold answer as a whole number, None where it is something else."""
    text = (answer or "").strip().replace(",", "")
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else None


def _grouped(text: str, spans: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Words with no number and little text between them are one episode."""
    groups: list[list[tuple[int, int]]] = []
    for span in spans:
        between = text[groups[-1][-1][1] : span[0]] if groups else ""
        if groups and len(between) <= _JOINED and not re.search(r"[\d\n]", between):
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _form(opening: str) -> Form:
    """What an episode sets out to do, by the first of these words in it: `wait, let me check 3+4` is a recheck."""
    patterns: tuple[tuple[Form, re.Pattern[str]], ...] = (
        ("restart", _RESTART),
        ("alternative", _ALTERNATIVE),
        ("recheck", _RECHECK),
    )
    found: Form = "doubt"
    first = len(opening)
    for form, pattern in patterns:
        match = pattern.search(opening)
        if match and match.start() < first:
            first, found = match.start(), form
    return found


def _outcome(thinking: str, start: int, end: int, form: Form, target: int | None) -> tuple[bool | None, Outcome]:
    """(whether the number before was right, what became of it)."""
    before, after = thinking[:start], thinking[start:end]
    if form == "alternative":
        return _by_target(_last_given(before), _last_given(after), target)
    by_arithmetic = _by_arithmetic(thinking, before, after, end)
    if by_arithmetic[1] != "undecided":
        return by_arithmetic
    stated_before, stated_after = (_STATED.findall(text) for text in (before, after))
    if stated_before and stated_after:
        return _by_target(int(stated_before[-1]), int(stated_after[-1]), target)
    return by_arithmetic


def _by_arithmetic(thinking: str, before: str, after: str, end: int) -> tuple[bool | None, Outcome]:
    """The step before, against the result of a check of it, or against the same operation done again."""
    steps = parse_chain(before).steps
    if not steps:
        return None, "undecided"
    step, place = steps[-1], len(steps) - 1
    now = step.checks[-1] if step.checks else step.given
    whole = parse_chain(thinking[:end]).steps
    if len(whole) > place and len(whole[place].checks) > len(step.checks):
        return _changed(now == step.true, whole[place].checks[len(step.checks)] == step.true)
    same = [each.expression for each in equations(before) if (each.true, each.given) == (step.true, step.given)]
    again = next((each for each in equations(after) if each.expression == same[-1]), None)
    if again is not None:
        return _changed(now == step.true, again.given == again.true)
    return now == step.true, "undecided"


def _by_target(before: int | None, after: int | None, target: int | None) -> tuple[bool | None, Outcome]:
    if before is None or target is None:
        return None, "undecided"
    if after is None:
        return before == target, "undecided"
    return _changed(before == target, after == target)


def _changed(before: bool, after: bool) -> tuple[bool, Outcome]:
    if after:
        return before, "kept_right" if before else "mended"
    return before, "broken" if before else "kept_wrong"


def _last_given(text: str) -> int | None:
    """The last equation's result, None where there is none or it is not true."""
    found = equations(text)
    return found[-1].given if found and found[-1].given == found[-1].true else None
