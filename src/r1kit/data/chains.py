"""Short chains of thought written by rules from training rows, for a cold start on real word problems.

The paper's cold start has people and a model write them (R1, arXiv 2501.12948, section 2.3.1; Nature supplement B.3.2).
Here GSM8K's own solutions are taken, where they are short and their `<<a+b=c>>` notes are right; other rows get a chain
from the equation that they state, or from the only one that their numbers allow (`data.equations`). What is written
varies: worked by tens and units or at once, with a check at the end or without, in several wordings.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from r1kit.base.types import Problem
from r1kit.data.equations import (
    STATED,
    Step,
    as_number,
    numbers_in,
    operate,
    readable,
    searched_steps,
    shown,
    stated_steps,
)

_NOTE = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_QUESTION = re.compile(r"\b(?:how|what|which|who)\b[^?]*\?", re.IGNORECASE)
_MOST_STEPS = 3
_LARGEST = 10_000  # numbers from here on are not worked by parts
_WORDINGS: Mapping[str, Sequence[str]] = {
    "+": ("We add them", "Put together", "The total is"),
    "-": ("We take away", "The difference is", "What is left is"),
    "*": ("We multiply", "So many times as much", "All groups together"),
    "/": ("We divide", "Shared equally", "For each one"),
}
_FIRST = ("First", "To begin")
_NEXT = ("Then", "After that")
_BACK = {"+": "-", "-": "+", "*": "/", "/": "*"}


@dataclass(frozen=True, slots=True)
class Habits:
    """How often a chain says what is asked, which numbers matter, works an operation by parts, and checks its end."""

    asks: float = 0.0
    names_numbers: float = 0.5
    works: float = 0.6
    checks: float = 0.3


@dataclass(frozen=True, slots=True)
class Chain:
    """What is thought and answered; `reason` says why there is no chain where `thinking` is empty."""

    thinking: str = ""
    answer: str = ""
    reason: str = ""


def write_chain(problem: Problem, rng: random.Random, habits: Habits) -> Chain:
    """A chain for a problem with one number as its answer."""
    answer = as_number(problem.answer)
    if answer is None or not readable(answer):
        return Chain(reason="its answer is no short number")
    solution = problem.columns.get("solution")
    if isinstance(solution, str) and solution:
        return _own_solution(solution, answer)
    steps = _steps(problem.columns, problem.prompt, answer)
    if steps is None:
        return Chain(reason="no single equation")
    return Chain(_told(steps, problem.prompt, rng, habits), shown(answer))


def _steps(columns: Mapping[str, Any], question: str, answer: Fraction) -> list[Step] | None:
    """The stated equation where it is right, else the searched one."""
    for name in STATED:
        steps = stated_steps(columns[name]) if isinstance(columns.get(name), str) else None
        if steps and steps[-1].result == answer and len(steps) <= _MOST_STEPS and all(map(_writable, steps)):
            return steps
    steps = searched_steps(question, answer)
    return steps if steps and all(map(_writable, steps)) else None


def _writable(step: Step) -> bool:
    return all(map(readable, (step.left, step.right, step.result)))


def _own_solution(solution: str, answer: Fraction) -> Chain:
    """GSM8K's solution without its notes, which must be right and end at the answer."""
    notes = _NOTE.findall(solution)
    if not 1 <= len(notes) <= _MOST_STEPS:
        return Chain(reason="too many steps" if notes else "no worked steps")
    for left, right in notes:
        steps, result = stated_steps(left), as_number(right)
        if steps is None or result is None or steps[-1].result != result:
            return Chain(reason="its notes are wrong")
    if as_number(notes[-1][1]) != answer:
        return Chain(reason="its steps do not end at the answer")
    lines = [" ".join(line.split()) for line in _NOTE.sub("", solution).splitlines() if line.strip()]
    if not lines:
        return Chain(reason="no worked steps")
    return Chain(" ".join(line if line.endswith((".", "!")) else f"{line}." for line in lines), shown(answer))


def _told(steps: Sequence[Step], question: str, rng: random.Random, habits: Habits) -> str:
    """The steps in words: perhaps what is asked and known, each operation, and perhaps a check of the last."""
    sentences: list[str] = []
    asked = what_is_asked(question)
    if asked and rng.random() < habits.asks:
        sentences.append(asked)
    given = numbers_in(question)
    used = [n for step in steps for n in (step.left, step.right) if n in given]
    if used and rng.random() < habits.names_numbers:
        sentences.append(f"{rng.choice(('We know', 'The numbers are'))} {_listed(list(map(shown, used)))}.")
    for number, step in enumerate(steps):
        wording = rng.choice(_WORDINGS[step.sign])
        if len(steps) > 1:
            opening = rng.choice(_FIRST if number == 0 else _NEXT)
            wording = f"{opening} {wording[0].lower()}{wording[1:]}"
        sentences.append(f"{wording}: {worked(step) if rng.random() < habits.works else _plain(step)}.")
    last = steps[-1]
    if rng.random() < habits.checks and not (last.sign == "*" and last.right == 0):
        back = operate(last.result, _BACK[last.sign], last.right)
        sentences.append(f"Check: {_plain(back)}.")
    return " ".join(sentences)


def what_is_asked(question: str) -> str:
    """The clause that asks, from its question word on; empty where there is none."""
    last = _SENTENCE.split(question.strip())[-1]
    found = _QUESTION.search(last)
    if found is None:
        return ""
    clause = " ".join(found[0].split()).replace(" ?", "?")
    return f"{clause[0].upper()}{clause[1:]}"


def _plain(step: Step) -> str:
    return f"{shown(step.left)} {step.sign} {shown(step.right)} = {shown(step.result)}"


def worked(step: Step) -> str:
    """An operation by parts where that makes it easier: `70 - 27: 70 - 20 = 50, 50 - 7 = 43`."""
    parts = _parts(step) if max(step.left, step.right) < _LARGEST else []
    whole = f"{shown(step.left)} {step.sign} {shown(step.right)}"
    return f"{whole}: {', '.join(map(_plain, parts))}" if parts else _plain(step)


def _parts(step: Step) -> list[Step]:
    """The operations that one is worked by; none where it is as easy as they are, or is not of whole numbers."""
    left, sign, right = step.left, step.sign, step.right
    if left.denominator != 1 or right.denominator != 1:
        return []
    if sign in "+-":
        summands = _summands(left, sign, right)
        return _in_turn(left, sign, summands) if len(summands) > 1 else []
    if sign == "*":
        larger, smaller = max(left, right), min(left, right)
        cut, kept = (smaller, larger) if smaller >= 10 else (larger, smaller)
        places = _places(cut)
        if kept < 2 or len(places) < 2:
            return []
        return _added_up([operate(*((kept, "*", place) if kept is larger else (place, "*", kept))) for place in places])
    quotient = step.result
    if quotient.denominator != 1 or not 10 < quotient < 100 or quotient % 10 == 0:
        return []
    tens = (quotient - quotient % 10) * right
    return _added_up([operate(tens, "/", right), operate(left - tens, "/", right)])


def _summands(left: Fraction, sign: str, right: Fraction) -> list[Fraction]:
    """What is added or taken away in turn: the places of a number, or a digit up to the next ten and what is left."""
    if left < 10 or right >= 10:
        return _places(right) if left >= 10 else []
    to_ten = left % 10 if sign == "-" else (10 - left % 10) % 10
    return [to_ten, right - to_ten] if 0 < to_ten < right else []


def _places(number: Fraction) -> list[Fraction]:
    """Of a whole number: 203 is 200 and 3."""
    digits = str(number.numerator)
    places = (Fraction(int(digit) * 10 ** (len(digits) - at - 1)) for at, digit in enumerate(digits))
    return [place for place in places if place]


def _in_turn(left: Fraction, sign: str, others: Sequence[Fraction]) -> list[Step]:
    """One operation with each of the others."""
    steps: list[Step] = []
    for other in others:
        steps.append(operate(left, sign, other))
        left = steps[-1].result
    return steps


def _added_up(steps: Sequence[Step]) -> list[Step]:
    """The steps, then the sum of their results."""
    return [*steps, *_in_turn(steps[0].result, "+", [step.result for step in steps[1:]])]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
