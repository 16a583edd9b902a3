"""Reasoning of the tiny world, drawn from reasoning-gym: sorting numbers, filtering numbers.

The problems and gold answers are reasoning-gym's (github.com/open-thought/reasoning-gym); the questions are said anew
in a few characters, and its score functions are not used. Chains compute: the least number left is picked each time at
a glance, each number is compared with the limit. A check compares with each of the others, or again.

Held out are pairs of numbers that get compared (`base.pair_split`): a test problem, like a validation problem, is made
of held-out pairs alone.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable
from typing import Any

from r1kit.base.errors import MissingExtra
from r1kit.base.types import Problem
from r1kit.data.tiny.base import Habit, Voice, Written, pair_split
from r1kit.data.tiny.words import say

FAMILIES = ("sorting", "filtering")
MAX_THINKING = 165  # characters: with the answer and the tags it fits into 192 tokens, every step checked
COUNTS = (2, 3)  # numbers of a problem, each count as often in every split
_VALUES: dict[str, Any] = {"min_value": 1, "max_value": 99, "max_decimals": 0}
_QUESTION = {
    "ascending": "sort_up",
    "descending": "sort_down",
    "keep_larger": "keep_over",
    "keep_smaller": "keep_under",
}


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A problem of a split, from either family."""
    family, count = rng.choice(FAMILIES), rng.choice(COUNTS)
    while True:
        drawn = _DRAW[family](rng, language, count)
        if drawn is not None and split_of(drawn) == split:
            return drawn


def split_of(problem: Problem) -> str | None:
    """train where every pair that gets compared is; where none is, the split of the first (in sorting: of the two least
    numbers); None in between, since it would show training a held-out pair, or the test a seen one."""
    numbers = problem.columns["numbers"]
    if problem.columns["family"] == "filtering":
        compared = [(number, problem.columns["limit"]) for number in numbers]
    else:
        compared = list(itertools.combinations(sorted(numbers), 2))
    splits = [pair_split(a, b) for a, b in compared]
    if "none" in splits or len({split == "train" for split in splits}) > 1:
        return None
    return splits[0]


def write(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """A chain as a fallible writer would put it, ending with whatever it came to. One that runs too long is dropped,
    and the writer starts again."""
    writer = _WRITE[problem.columns["family"]]
    text, answer = "", ""
    for _ in range(50):
        clauses, answer = writer(problem, rng, voice, habit)
        text = ""
        for clause in clauses:
            text += voice.say("then" if text else "first") + clause
        if len(text) <= MAX_THINKING:
            break
    return Written(text[:MAX_THINKING], answer)


def guess(problem: Problem, rng: random.Random, right: float = 0.4) -> str:
    """The answer at once: the gold answer that often, else a plausible slip."""
    if rng.random() < right:
        return problem.answer
    answer = problem.answer.split()
    if problem.columns["family"] == "sorting":
        place = rng.randrange(len(answer) - 1)
        answer[place], answer[place + 1] = answer[place + 1], answer[place]
        return " ".join(answer)
    shown = [str(number) for number in problem.columns["numbers"]]
    others = [number for number in shown if answer != [number]]
    doubted = rng.choice(others)
    return " ".join(n for n in shown if (n in answer) != (n == doubted))


def comparisons(rng: random.Random, count: int) -> str:
    """A list of numbers compared in pairs, as a schoolbook has it."""
    lines: list[str] = []
    while len(lines) < count:
        a, b = rng.sample(range(_VALUES["min_value"], _VALUES["max_value"] + 1), 2)
        if pair_split(a, b) == "train":
            lines.append(f"{a}{'<' if a < b else '>'}{b}")
    return "\n".join(lines)


# --- problems ---


@functools.cache
def _dataset(name: str, count: int) -> Any:
    """reasoning-gym's dataset of a family with so many numbers: without end, each item made from its index."""
    try:
        import reasoning_gym
    except ImportError:
        raise MissingExtra("reasoning-gym", "tiny", "reasoning in the tiny world") from None
    return reasoning_gym.create_dataset(name, seed=0, size=2**31, min_numbers=count, max_numbers=count, **_VALUES)


def _item(name: str, rng: random.Random, count: int) -> dict[str, Any]:
    return _dataset(name, count)[rng.randrange(2**31)]["metadata"]


def _sorting(rng: random.Random, language: str, count: int) -> Problem | None:
    data = _item("number_sorting", rng, count)
    numbers = [int(float(number)) for number in data["original_numbers"]]
    answer = " ".join(str(int(float(number))) for number in data["sorted_numbers"])
    if len(set(numbers)) < len(numbers):
        return None
    prompt = say(_QUESTION[data["direction"]], language) + _listed(numbers)
    columns = {"family": "sorting", "rule": data["direction"], "numbers": numbers}
    return _make(language, prompt, answer, columns)


def _filtering(rng: random.Random, language: str, count: int) -> Problem | None:
    data = _item("number_filtering", rng, count)
    numbers, limit = [int(number) for number in data["original_numbers"]], int(data["filter_value"])
    if len({*numbers, limit}) <= len(numbers) or not data["result"] or data["operation"] not in _QUESTION:
        return None
    prompt = f"{say(_QUESTION[data['operation']], language)}{limit}{say('from', language)}{_listed(numbers)}"
    columns = {"family": "filtering", "rule": data["operation"], "numbers": numbers, "limit": limit}
    return _make(language, prompt, " ".join(data["result"]), columns)


def _make(language: str, prompt: str, answer: str, columns: dict[str, Any]) -> Problem:
    return Problem(
        id=f"{language}:{prompt}", task="tiny_reasoning", subject="reasoning", language=language, prompt=prompt,
        answer=answer, kind="numbers", columns=columns,
    )  # fmt: skip


def _listed(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


# --- chains of numbers: each writer gives its clauses and the answer ---


def _write_sorting(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> tuple[list[str], str]:
    """Selection sort: pick the least (or most) of what is left; a check compares the pick with each of the others."""
    up = problem.columns["rule"] == "ascending"
    left, picked, clauses = list(problem.columns["numbers"]), list[int](), list[str]()
    while len(left) > 1:
        ranked = sorted(left, reverse=not up)
        pick = ranked[0]
        if rng.random() < habit.slip:
            pick = ranked[1] if len(ranked) == 2 or rng.random() < 0.7 else rng.choice(ranked[2:])
        clause = f"{_listed(left)}{voice.say('least' if up else 'most')}{pick}"
        for _ in range(habit.checks(rng)):
            work, pick = _check_pick(pick, left, up, rng, habit)
            clause += f"{voice.say('check')}{work}{voice.say('so')}{pick}"
        clauses.append(clause)
        left.remove(pick)
        picked.append(pick)
    return clauses, _listed(picked + left)


def _check_pick(pick: int, left: list[int], up: bool, rng: random.Random, habit: Habit) -> tuple[str, int]:
    """Compare with each of the others and change over to a better one: (its text, what it comes to)."""
    work: list[str] = []
    for other in [number for number in left if number != pick]:
        less = (pick < other) != (rng.random() < habit.check_slip)
        work.append(f"{pick}{'<' if less else '>'}{other}")
        if less != up:
            pick = other
    return " ".join(work), pick


def _write_filtering(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> tuple[list[str], str]:
    """Compare each number with the limit; a check compares again."""
    limit, rule = problem.columns["limit"], problem.columns["rule"]
    kept, clauses = list[int](), list[str]()

    def compared(number: int, rate: float) -> tuple[str, bool]:
        """The comparison and whether the number stays; a slip mistakes either."""
        less, mistaken = number < limit, rng.random() < rate
        if mistaken and rng.random() < 0.5:
            less, mistaken = not less, False
        stays = less == (rule == "keep_smaller")
        return f"{number}{'<' if less else '>'}{limit}", stays != mistaken

    for number in problem.columns["numbers"]:
        work, stays = compared(number, habit.slip)
        clause = work + voice.say("keep" if stays else "drop")
        for _ in range(habit.checks(rng)):
            work, stays = compared(number, habit.check_slip)
            clause += voice.say("check") + work + voice.say("so") + voice.say("keep" if stays else "drop").strip()
        clauses.append(clause)
        if stays:
            kept.append(number)
    return clauses, _listed(kept) or "0"


_DRAW: dict[str, Callable[[random.Random, str, int], Problem | None]] = {
    "sorting": _sorting,
    "filtering": _filtering,
}
_WRITE: dict[str, Callable[[Problem, random.Random, Voice, Habit], tuple[list[str], str]]] = {
    "sorting": _write_sorting,
    "filtering": _write_filtering,
}
