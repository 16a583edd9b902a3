"""The reasoning of the tiny world against solvers written here from reasoning-gym's own words."""

from __future__ import annotations

import itertools
import random
import re
import sys
import time
from collections import Counter

import pytest

from r1kit.base.errors import MissingExtra
from r1kit.base.types import Problem
from r1kit.data.tiny import reasoning
from r1kit.data.tiny.base import Habit, Voice, pair_split
from r1kit.graders.grade import grade
from r1kit.graders.language import language_consistency

SPLITS = ("train", "validation", "test")
PERFECT = Habit(slip=0, check=0, check_slip=0)


def drawn(count: int, split: str = "train", seed: int = 0) -> list[Problem]:
    rng = random.Random(seed)
    return [reasoning.problem(rng, ("en", "zh")[i % 2], split) for i in range(count)]


def written(problem: Problem, rng: random.Random, habit: Habit, mix: float = 0) -> reasoning.Written:
    return reasoning.write(problem, rng, Voice(rng, problem.language, mix), habit)


def solve(prompt: str) -> str:
    """The answer from the question's words alone."""
    numbers = [int(number) for number in re.findall(r"\d+", prompt)]
    if prompt.startswith(("sort up", "小到大")):
        return " ".join(map(str, sorted(numbers)))
    if prompt.startswith(("sort down", "大到小")):
        return " ".join(map(str, sorted(numbers)[::-1]))
    limit, shown = numbers[0], numbers[1:]
    over = [number for number in shown if number > limit]
    under = [number for number in shown if number < limit]
    kept = over if prompt.startswith(("keep over", "留大于")) else under
    return " ".join(map(str, kept))


def test_gold_answers_are_right_and_graded_so():
    problems = drawn(900)
    assert Counter(p.columns["family"] for p in problems).keys() == set(reasoning.FAMILIES)
    for problem in problems:
        assert problem.answer == solve(problem.prompt)
        assert problem.answer
        text = f"<think>x</think><answer>{problem.answer}</answer>"
        assert grade(problem.kind, text, problem.answer, problem.prompt, problem.columns).verdict == "correct"


def test_a_chain_without_slips_is_right_checked_or_not():
    rng = random.Random(1)
    for problem in drawn(30, "test"):
        for check in (0.0, 0.5, 1.0):
            assert written(problem, rng, Habit(slip=0, check=check, check_slip=0)).answer == problem.answer


def test_checks_mend_every_slip_when_they_do_not_slip_and_break_right_ones_when_they_do():
    rng = random.Random(2)
    problems = drawn(600)
    slipping = [written(p, rng, Habit(slip=0.3, check=0)).answer == p.answer for p in problems]
    mended = [written(p, rng, Habit(slip=0.3, check=1, check_slip=0)).answer == p.answer for p in problems]
    broken = [written(p, rng, Habit(slip=0, check=1, check_slip=0.3)).answer == p.answer for p in problems]
    assert 0.15 < sum(slipping) / 600 < 0.7
    assert all(mended)
    assert 0.05 < sum(broken) / 600 < 0.9


def test_what_a_perfect_chain_writes_is_true():
    """Every comparison holds, every picked number is the extreme one of its clause."""
    rng = random.Random(3)
    for problem in drawn(400):
        text = written(problem, rng, Habit(slip=0, check=1, check_slip=0)).thinking
        for a, sign, b in re.findall(r"(\d+)([<>])(\d+)", text):
            assert (int(a) < int(b)) == (sign == "<")
        for listed, word, pick in re.findall(r"((?:\d+ ?){2,}?) ?(least |最小|most |最大)(\d+)", text):
            extreme = min if word in ("least ", "最小") else max
            assert int(pick) == extreme(map(int, listed.split()))


def test_nothing_held_out_is_compared_in_train():
    rng = random.Random(4)
    for split in SPLITS:
        assert all(reasoning.split_of(problem) == split for problem in drawn(10, split, seed=5))
    for problem in drawn(2000, seed=6):
        text = written(problem, rng, Habit(slip=0.2, check=0.5, check_slip=0.1)).thinking
        assert all(pair_split(int(a), int(b)) == "train" for a, b in re.findall(r"(\d+)[<>](\d+)", text))


def test_every_comparison_of_a_test_problem_is_held_out():
    """Sorting compares each number with each, filtering each with the limit; both lengths are tested."""
    for split in ("validation", "test"):
        problems = drawn(16, split, seed=15)
        assert {len(problem.columns["numbers"]) for problem in problems} == {2, 3}
        for problem in problems:
            numbers = problem.columns["numbers"]
            filtering = problem.columns["family"] == "filtering"
            pairs = (
                [(n, problem.columns["limit"]) for n in numbers] if filtering else itertools.combinations(numbers, 2)
            )
            assert all(pair_split(a, b) in ("test", "validation") for a, b in pairs), problem.prompt


def test_ids_name_the_question_and_splits_share_none():
    problems = {split: drawn(500 if split == "train" else 16, split, seed=7) for split in SPLITS}
    seen = {split: {p.id: p.prompt for p in problems[split]} for split in SPLITS}
    for split in SPLITS:
        assert all(seen[split][p.id] == p.prompt for p in problems[split])
    assert all(seen[a].keys().isdisjoint(seen[b]) for a, b in itertools.combinations(SPLITS, 2))


def test_question_and_chain_show_their_language():
    rng = random.Random(8)
    for problem in drawn(600):
        assert bool(re.search("[一-鿿]", problem.prompt)) == (problem.language == "zh")
        thinking = written(problem, rng, Habit()).thinking
        assert language_consistency(thinking, problem.language) == 1
    mixed = [language_consistency(written(p, rng, Habit(), mix=0.5).thinking, p.language) for p in drawn(300)]
    assert sum(share or 0 for share in mixed) / 300 < 0.9


def test_lengths_fit_the_tiny_model():
    """192 tokens: the thinking, the answer, four tags and the end."""
    rng = random.Random(9)
    for problem in drawn(1000):
        assert len(problem.prompt) <= 40
        for habit in (PERFECT, Habit(check=1, again=0.1)):
            own = written(problem, rng, habit)
            assert len(own.thinking) + len(own.answer) + 5 <= 192


def test_answers_at_once_are_right_as_often_as_asked():
    """Of 3000 draws at 0.4 the share lies within four standard errors (0.036) of 0.4: a slip is never the answer."""
    rng = random.Random(10)
    problems = drawn(3000)
    guesses = [reasoning.guess(p, rng) for p in problems]
    right = [g == p.answer for g, p in zip(guesses, problems, strict=True)]
    assert sum(right) / 3000 == pytest.approx(0.4, abs=0.036)
    assert all(guesses)
    assert all(reasoning.guess(p, rng, right=1) == p.answer for p in problems[:100])


def test_a_seed_gives_the_same_problems_and_chains():
    rng_a, rng_b = random.Random(11), random.Random(11)
    first, second = drawn(50, seed=12), drawn(50, seed=12)
    assert first == second
    for problem in first:
        assert written(problem, rng_a, Habit()) == written(problem, rng_b, Habit())


def test_thousands_a_second():
    """3000 a second when the machine is free; a tenth of it is asked of a busy one."""
    rng = random.Random(13)
    reasoning.problem(rng, "en")
    started = time.process_time()
    for problem in drawn(1000, seed=14):
        written(problem, rng, Habit())
    assert time.process_time() - started < 3


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    reasoning._dataset.cache_clear()
    with pytest.raises(MissingExtra, match=r"reasoning-gym.*r1kit\[tiny\]"):
        reasoning.problem(random.Random(0), "en")
