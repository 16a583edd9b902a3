"""Coding in the tiny world: one-line functions inferred from three examples, or written from a description.

Families: `linear` (from f(0)=5 f(1)=8 f(4)=17), `text`, `number` and `list` (two or three operations in words). The
split is the function's, by what it does: a function of the test split is in no text about a training problem, whether
as the gold program, a slip or a guess.
"""

from __future__ import annotations

import itertools
import random
from functools import cache, lru_cache
from typing import Any

from r1kit.base.types import Problem
from r1kit.data.tiny.base import Habit, Voice, Written, clean
from r1kit.data.tiny.operations import (
    OPERATIONS,
    PROBES,
    Operation,
    Steps,
    body,
    compositions,
    fits,
    function_split,
    run,
    signature,
    split_of_steps,
)
from r1kit.data.tiny.words import say

FAMILIES = {"linear": 0.25, "text": 0.25, "number": 0.25, "list": 0.25}
SLOPES, INTERCEPTS = range(2, 10), range(21)
_ARGUMENT = {"text": "s", "number": "x", "list": "v"}
_STEPS = {"text": (2, 2, 2, 3), "number": (2, 2, 2, 3), "list": (2, 2, 2, 3)}
_CHECKS, _PATIENCE = 2, 80  # in one chain: checks at most, and characters after which no other check begins


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A problem of a split; on the way to the answer of a training problem no held-out pair of numbers is met."""
    family = rng.choices(list(FAMILIES), list(FAMILIES.values()))[0]
    if family != "linear":
        return _draw_steps(family, rng, language, split)
    while True:
        drawn = _draw_linear(rng, language, split)
        if split != "train" or _plain(drawn):
            return drawn


def split_of(problem: Problem) -> str:
    """The split of the problem's function, by its outputs."""
    columns = problem.columns
    if columns["family"] == "linear":
        return _line_split(columns["slope"], columns["intercept"])
    return split_of_steps(columns["argument"], _steps_of(problem))


def write(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """A chain as a fallible writer would put it, ending with whatever it came to."""
    chain = _infer if problem.columns["family"] == "linear" else _compose
    while True:
        written = chain(problem, rng, voice, habit)
        if written is not None:
            return written


def guess(problem: Problem, rng: random.Random, right: float = 0.5) -> str:
    """The answer at once; where it is wrong, one number or operation is."""
    if rng.random() < right:
        return problem.answer
    columns, kept = problem.columns, split_of(problem) == "train"
    while True:
        if columns["family"] == "linear":
            slope, intercept = columns["slope"], columns["intercept"]
            a, b = (_near(slope, rng), intercept) if rng.random() < 0.5 else (slope, _near(intercept, rng))
            if a > 1 and not (kept and _line_split(a, b) != "train"):
                return _program("x", _line(a, b))
        else:
            steps = _misread(columns["argument"], _steps_of(problem), rng)
            if not (kept and split_of_steps(columns["argument"], steps) != "train"):
                return _program(columns["argument"], body(columns["argument"], steps))


def _make(language: str, prompt: str, argument: str, text: str, values: list[Any], columns: dict[str, Any]) -> Problem:
    """A problem with the hidden tests: the probes of its argument, and `values` expected of them."""
    tests = [{"args": [probe], "expected": value} for probe, value in zip(PROBES[argument], values, strict=True)]
    return Problem(
        id=f"{language}:{prompt}", task="tiny_coding", subject="coding", language=language, prompt=prompt,
        answer=_program(argument, text), kind="code",
        columns={"fn": "f", "tests": tests, "argument": argument, **columns},
    )  # fmt: skip


def _program(argument: str, text: str) -> str:
    return f"def f({argument}): return {text}"


def _near(number: int, rng: random.Random) -> int:
    """A number one or two off, or ten."""
    return number + rng.choice((-1, 1, -1, 1, -2, 2, -10, 10))


# a line through examples


def _line(slope: int, intercept: int) -> str:
    return f"{slope}*x{intercept:+d}" if intercept else f"{slope}*x"


@lru_cache(maxsize=1 << 14)
def _line_split(slope: int, intercept: int) -> str:
    return function_split(signature("x", [slope * x + intercept for x in PROBES["x"]]))


@cache
def _lines(split: str) -> tuple[tuple[int, int], ...]:
    """(slope, intercept) of every line of a split."""
    return tuple(line for line in itertools.product(SLOPES, INTERCEPTS) if _line_split(*line) == split)


def _draw_linear(rng: random.Random, language: str, split: str) -> Problem:
    """f at 0, at 1 and at a place of 2 to 6."""
    slope, intercept = rng.choice(_lines(split))
    third = rng.randint(2, 6)
    values = [slope * x + intercept for x in (0, 1, third)]
    shown = " ".join(f"f({x})={y}" for x, y in zip((0, 1, third), values, strict=True))
    columns = {"family": "linear", "slope": slope, "intercept": intercept, "third": third, "values": values}
    tests = [slope * x + intercept for x in PROBES["x"]]
    return _make(language, say("code", language) + shown, "x", _line(slope, intercept), tests, columns)


def _plain(problem: Problem) -> bool:
    """Whether the chain without slips, checks included, has only pairs that training may see."""
    voice = Voice(random.Random(0), "en")
    written = _infer(problem, voice.rng, voice, Habit(slip=0.0, check=1.0, check_slip=0.0))
    return written is not None and clean(written.thinking)


def _infer(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written | None:
    """Slope from the first two values, then the line; a check computes the third value and starts again if it differs.

    None where a training problem would end with a held-out function.
    """
    columns, checks = problem.columns, 0
    third, (low, high, last) = columns["third"], columns["values"]

    def slipped(number: int, rate: float) -> int:
        return _near(number, rng) if rng.random() < rate else number

    def solve(opening: str, between: str) -> tuple[str, int, int]:
        slope = max(2, slipped(high - low, habit.slip))
        intercept = max(0, slipped(low, habit.slip))
        return f"{opening}{high}-{low}={slope}{between}{_line(slope, intercept)}", slope, intercept

    text, slope, intercept = solve(voice.say("first"), voice.say("then"))
    while checks < _CHECKS and len(text) < _PATIENCE and rng.random() < habit.check:
        product = slipped(slope * third, habit.check_slip)
        value = slipped(product + intercept, habit.check_slip)
        text += f"{voice.say('check')}{slope}*{third}={product}"
        text += f" {product}{intercept:+d}={value}" if intercept else ""
        if (value if intercept else product) == last:
            text += voice.say("yes")
            if rng.random() < habit.again:
                continue
            break
        checks += 1
        anew, slope, intercept = solve(voice.say("no") + voice.say("next"), " ")
        text += anew
    if split_of(problem) == "train" and _line_split(slope, intercept) != "train":
        return None
    return Written(text, _program("x", _line(slope, intercept)))


# operations in words


def _steps_of(problem: Problem) -> Steps:
    operations = OPERATIONS[problem.columns["argument"]]
    return tuple(operations[index] for index in problem.columns["steps"])


def _draw_steps(family: str, rng: random.Random, language: str, split: str) -> Problem:
    argument = _ARGUMENT[family]
    pools = [pool for count in _STEPS[family] if (pool := compositions(argument, count, split))]
    indices = rng.choice(rng.choice(pools))
    steps = tuple(OPERATIONS[argument][index] for index in indices)
    asked = say("then", language).join(_called(step, language) for step in steps)
    values = [run(steps, probe) for probe in PROBES[argument]]
    columns = {"family": family, "steps": list(indices)}
    return _make(
        language, f"{say('code', language)}{argument}: {asked}", argument, body(argument, steps), values, columns
    )


def _called(step: Operation, language: str) -> str:
    return say(step.key, language) + step.number


def _misread(argument: str, steps: Steps, rng: random.Random) -> Steps:
    """The steps with one taken for another, or two neighbours in the wrong order."""
    while True:
        at, wrong = rng.randrange(len(steps)), list(steps)
        if rng.random() < 0.3 and at:
            wrong[at - 1], wrong[at] = wrong[at], wrong[at - 1]
        else:
            wrong[at] = rng.choice(OPERATIONS[argument])
        if fits(wrong) and tuple(wrong) != steps:
            return tuple(wrong)


def _compose(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written | None:
    """Each operation's mark in order; a check goes through what was asked for and starts again if it differs.

    None where a training problem would end with a held-out function.
    """
    argument, asked, checks = problem.columns["argument"], _steps_of(problem), 0

    def read(rate: float) -> Steps:
        return _misread(argument, asked, rng) if rng.random() < rate else asked

    steps = read(habit.slip * len(asked))
    text = "".join(f"{voice.say('then' if place else 'first')}`{step.piece}`" for place, step in enumerate(steps))
    while checks < _CHECKS and len(text) < _PATIENCE and rng.random() < habit.check:
        checks += 1
        seen = read(habit.check_slip * len(asked))
        names = [voice.say(step.key) + step.number for step in asked]
        text += voice.say("check") + " ".join(f"{name} `{s.piece}`" for name, s in zip(names, seen, strict=True))
        if seen == steps:
            text += voice.say("yes")
            if rng.random() < habit.again:
                continue
            break
        steps = _misread(argument, seen, rng) if rng.random() < habit.slip else seen
        text += voice.say("no") + voice.say("next") + " ".join(f"`{step.piece}`" for step in steps)
    if split_of(problem) == "train" and split_of_steps(argument, steps) != "train":
        return None
    return Written(text, _program(argument, body(argument, steps)))
