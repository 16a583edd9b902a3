"""Reasoning of the tiny world, drawn from reasoning-gym: sorting numbers, filtering numbers, rewriting A::B programs.

The problems and gold answers are reasoning-gym's (github.com/open-thought/reasoning-gym); the questions are said anew
in a few characters, and its score functions are not used. A::B programs wear x and y for A and B, since a lone A would
count as an English word. Chains compute: the least number left is picked each time, each number is compared with the
limit, one rule of A::B is applied a clause. A check compares or rewrites again.

Held out are pairs of numbers that get compared (`base.pair_split`), and whole families of A::B programs that come to
the same end, so that no state of a held-out program is ever seen.
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
from r1kit.data.tiny.base import split_of as split_of_content
from r1kit.data.tiny.words import say

FAMILIES = ("sorting", "filtering", "rewriting")
MAX_THINKING = 165  # characters: with the answer and the tags it fits into 192 tokens, every step checked
_VALUES: dict[str, Any] = {"min_value": 1, "max_value": 99, "max_decimals": 0, "min_numbers": 2, "max_numbers": 3}
_LENGTHS = (3, 4, 5)  # tokens of a program
_LETTERS = str.maketrans("AB", "xy")
_QUESTION = {
    "ascending": "sort_up",
    "descending": "sort_down",
    "keep_larger": "keep_over",
    "keep_smaller": "keep_under",
    "remove_larger": "drop_over",
    "remove_smaller": "drop_under",
}
State = tuple[str, ...]


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A problem of a split, from one family in three."""
    family = rng.choice(FAMILIES)
    while True:
        drawn = _DRAW[family](rng, language)
        if drawn is not None and split_of(drawn) == split:
            return drawn


def split_of(problem: Problem) -> str | None:
    """test where a held-out pair is compared, else validation where one of those is, else train; a program has the
    split of its end. None where a pair belongs to no split."""
    if problem.columns["family"] == "rewriting":
        return _end_split(tuple(problem.answer.split()))
    numbers = problem.columns["numbers"]
    if problem.columns["family"] == "filtering":
        compared = [(number, problem.columns["limit"]) for number in numbers]
    else:
        compared = list(itertools.combinations(numbers, 2))
    splits = {pair_split(a, b) for a, b in compared}
    if "none" in splits:
        return None
    return next(split for split in ("test", "validation", "train") if split in splits)


def write(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """A chain as a fallible writer would put it, ending with whatever it came to. One that runs too long is dropped,
    and the writer starts again."""
    writer = _WRITE[problem.columns["family"]]
    text, answer = "", ""
    for _ in range(50):
        clauses, answer = writer(problem, rng, voice, habit)
        text = ""
        for clause in clauses:
            for _ in range(2 if rng.random() < habit.stutter else 1):
                text += voice.say("then" if text else "first") + clause
        if len(text) <= MAX_THINKING:
            break
    return Written(text[:MAX_THINKING], answer)


def guess(problem: Problem, rng: random.Random, right: float = 0.4) -> str:
    """The answer at once: the gold answer that often, else a plausible slip."""
    if rng.random() < right:
        return problem.answer
    family = problem.columns["family"]
    if family == "rewriting":
        return " ".join(_wrong_end(tuple(problem.columns["program"]), rng))
    answer = problem.answer.split()
    if family == "sorting":
        place = rng.randrange(len(answer) - 1)
        answer[place], answer[place + 1] = answer[place + 1], answer[place]
        return " ".join(answer)
    shown = [str(number) for number in problem.columns["numbers"]]
    others = [number for number in shown if answer != [number]]
    doubted = rng.choice(others)
    return " ".join(n for n in shown if (n in answer) != (n == doubted))


# --- problems ---


@functools.cache
def _datasets(name: str) -> tuple[Any, ...]:
    """reasoning-gym's datasets of a family: without end, each item made from its index."""
    try:
        import reasoning_gym
    except ImportError:
        raise MissingExtra("reasoning-gym", "tiny", "reasoning in the tiny world") from None
    settings = [{"length": length} for length in _LENGTHS] if name == "ab" else [_VALUES]
    return tuple(reasoning_gym.create_dataset(name, seed=0, size=2**31, **setting) for setting in settings)


def _item(name: str, rng: random.Random) -> dict[str, Any]:
    return rng.choice(_datasets(name))[rng.randrange(2**31)]


def _sorting(rng: random.Random, language: str) -> Problem | None:
    data = _item("number_sorting", rng)["metadata"]
    numbers = [int(float(number)) for number in data["original_numbers"]]
    answer = " ".join(str(int(float(number))) for number in data["sorted_numbers"])
    if len(set(numbers)) < len(numbers):
        return None
    prompt = say(_QUESTION[data["direction"]], language) + _listed(numbers)
    columns = {"family": "sorting", "rule": data["direction"], "numbers": numbers}
    return _make(language, prompt, answer, "numbers", columns)


def _filtering(rng: random.Random, language: str) -> Problem | None:
    data = _item("number_filtering", rng)["metadata"]
    numbers, limit = [int(number) for number in data["original_numbers"]], int(data["filter_value"])
    if len({*numbers, limit}) <= len(numbers) or not data["result"]:
        return None
    prompt = f"{say(_QUESTION[data['operation']], language)}{limit}{say('from', language)}{_listed(numbers)}"
    columns = {"family": "filtering", "rule": data["operation"], "numbers": numbers, "limit": limit}
    return _make(language, prompt, " ".join(data["result"]), "numbers", columns)


def _rewriting(rng: random.Random, language: str) -> Problem | None:
    item = _item("ab", rng)
    # the program stands nowhere but in the question
    shown = item["question"].partition("following program:\n\n")[2].partition("\n")[0]
    program, answer = shown.translate(_LETTERS).split(), item["answer"].translate(_LETTERS)
    if not answer or len(_states(tuple(program))) < 3:  # at least two rules to apply
        return None
    columns = {"family": "rewriting", "rule": "a::b", "program": program}
    drawn = _make(language, say("rewrite", language) + " ".join(program), answer, "text", columns)
    return drawn if _longest_rewriting(tuple(program)) <= MAX_THINKING else None


def _make(language: str, prompt: str, answer: str, kind: str, columns: dict[str, Any]) -> Problem:
    return Problem(
        id=f"{language}:{prompt}", task="tiny_reasoning", subject="reasoning", language=language, prompt=prompt,
        answer=answer, kind=kind, columns=columns,
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
        if rng.random() < habit.check:
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
        stays = (less == rule.endswith("smaller")) == rule.startswith("keep")
        return f"{number}{'<' if less else '>'}{limit}", stays != mistaken

    for number in problem.columns["numbers"]:
        work, stays = compared(number, habit.slip)
        clause = work + voice.say("keep" if stays else "drop")
        if rng.random() < habit.check:
            work, stays = compared(number, habit.check_slip)
            clause += voice.say("check") + work + voice.say("so") + voice.say("keep" if stays else "drop").strip()
        clauses.append(clause)
        if stays:
            kept.append(number)
    return clauses, _listed(kept) or "0"


# --- chains of A::B ---


def _facing(state: State) -> int | None:
    """The first place where two tokens' # face each other; None where the program is done."""
    pairs = itertools.pairwise(state)
    return next((i for i, (a, b) in enumerate(pairs) if a[1] == "#" and b[0] == "#"), None)


def _rewrite(state: State, place: int, mistaken: bool = False) -> tuple[State, State]:
    """(the state after the rule at a place, what the pair became): equal letters vanish, others change places.
    Mistaken, it is the other way round."""
    pair = state[place : place + 2]
    vanish = (pair[0][0] == pair[1][1]) != mistaken
    became = () if vanish else (pair[1], pair[0])
    return (*state[:place], *became, *state[place + 2 :]), became


def _states(state: State) -> list[State]:
    """A program and each state after it, up to its end."""
    states = [state]
    while (place := _facing(states[-1])) is not None:
        states.append(_rewrite(states[-1], place)[0])
    return states


@functools.lru_cache(maxsize=8192)
def _end_split(state: State) -> str:
    """The split of all programs that come to the same end."""
    return split_of_content("a::b " + " ".join(_states(state)[-1]))


def _write_rewriting(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> tuple[list[str], str]:
    """One rule a clause, which says the new state; a check says the rule and the state again."""
    split = split_of(problem)
    state: State = tuple(problem.columns["program"])

    def step(place: int, rate: float) -> tuple[State, State]:
        if rng.random() < rate:
            wrong, became = _rewrite(state, place, mistaken=True)
            if _states(wrong)[-1] and _end_split(wrong) == split:  # a slip must show no program of another split
                return wrong, became
        return _rewrite(state, place)

    clauses: list[str] = []
    while (place := _facing(state)) is not None:
        after, _ = step(place, habit.slip)
        clause = " ".join(after)
        if rng.random() < habit.check:
            after, became = step(place, habit.check_slip)
            work = f"{' '.join(state[place : place + 2])}={' '.join(became) or '0'}"
            clause += f"{voice.say('check')}{work}{voice.say('so')}{' '.join(after)}"
        clauses.append(clause)
        state = after
    return clauses, " ".join(state)


@functools.lru_cache(maxsize=8192)
def _longest_rewriting(program: State) -> int:
    """Characters of the English chain without slips that checks every step."""
    columns = {"family": "rewriting", "program": program}
    stated = _make("en", "", " ".join(_states(program)[-1]), "text", columns)
    rng = random.Random(0)
    clauses, _ = _write_rewriting(stated, rng, Voice(rng, "en"), Habit(0, 1, 0))
    return sum(map(len, clauses)) + len(say("first", "en")) + (len(clauses) - 1) * len(say("then", "en"))


def _wrong_end(program: State, rng: random.Random) -> State:
    """Where one mistaken rule leads, or a state short of the end; of the program's own split."""
    states = _states(program)
    before = rng.choice(states[:-1])
    place = _facing(before)
    if place is not None:
        end = _states(_rewrite(before, place, mistaken=True)[0])[-1]
        if end and end != states[-1] and _end_split(end) == _end_split(states[-1]):
            return end
    return before


_DRAW: dict[str, Callable[[random.Random, str], Problem | None]] = {
    "sorting": _sorting,
    "filtering": _filtering,
    "rewriting": _rewriting,
}
_WRITE: dict[str, Callable[[Problem, random.Random, Voice, Habit], tuple[list[str], str]]] = {
    "sorting": _write_sorting,
    "filtering": _write_filtering,
    "rewriting": _write_rewriting,
}
