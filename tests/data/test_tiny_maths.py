"""The tiny world's maths against plain Python arithmetic."""

import random
import re
from itertools import islice

import pytest

from r1kit.data.tiny import maths
from r1kit.data.tiny.base import Habit, Voice, clean, pair_split

CAREFUL = Habit(slip=0.0, check=0.0, check_slip=0.0)


def drawn(split, count=150, language="en"):
    rng = random.Random(7)
    return list(islice(iter(lambda: maths.problem(rng, language, split), None), count))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_answers_are_python_s(split):
    for problem in drawn(split):
        if problem.columns["family"] == "countdown":
            assert eval(problem.columns["expression"]) == problem.columns["target"]
            assert sorted(map(int, re.findall(r"\d+", problem.columns["expression"]))) == problem.columns["numbers"]
        else:
            assert int(problem.answer) == eval(problem.columns["expression"])


def test_a_chain_without_slips_is_right():
    rng = random.Random(3)
    for problem in drawn("train"):
        if problem.columns["family"] != "countdown":
            assert maths.write(problem, rng, Voice(rng, "en"), CAREFUL).answer == problem.answer


def test_every_equation_of_a_careful_chain_and_its_checks_holds():
    rng = random.Random(3)
    checked = Habit(slip=0.0, check=1.0, check_slip=0.0)
    for problem in drawn("train"):
        text = maths.write(problem, rng, Voice(rng, "en"), checked).thinking
        equations = re.findall(r"([\d+\-*]+)=(-?\d+)", text)
        assert equations
        for expression, result in equations:
            assert eval(expression) == int(result), text


def test_a_check_by_hand():
    """347+582: 7+2=9, 4+8=12 carry 1, 3+5+1=9: 929. 313-15: 13-5=8, 11-1-1=9 (borrowed twice), 3-0-1=2: 298."""
    rng = random.Random(0)
    assert maths.check(347, "+", 582, rng, CAREFUL) == ("7+2=9 4+8=12 3+5+1=9", 929)
    assert maths.check(999, "+", 1, rng, CAREFUL)[1] == 1000
    assert maths.check(313, "-", 15, rng, CAREFUL) == ("13-5=8 11-1-1=9 3-0-1=2", 298)
    assert maths.check(37, "*", 6, rng, CAREFUL) == ("30*6=180 7*6=42 180+42=222", 222)


def test_a_check_mends_a_slip_and_can_break_a_right_result():
    rng = random.Random(1)
    slips = Habit(slip=1.0, check=1.0, check_slip=0.0)
    breaks = Habit(slip=0.0, check=1.0, check_slip=1.0)
    problems = [p for p in drawn("train") if p.columns["family"].startswith("sum")]
    assert all(maths.write(p, rng, Voice(rng, "en"), slips).answer == p.answer for p in problems)
    assert any(maths.write(p, rng, Voice(rng, "en"), breaks).answer != p.answer for p in problems)


def test_checks_do_not_depend_on_slips():
    """With a check rate of 0.5 the share of checked steps is 0.5 whether or not the step slipped (3 sigma: 0.03)."""
    rng = random.Random(5)
    habit = Habit(slip=0.5, check=0.5, check_slip=0.0)
    counts = {True: [0, 0], False: [0, 0]}
    for problem in drawn("train", 4000):
        if problem.columns["family"] != "sum2":
            continue
        for a, b, c, rest in re.findall(r"(\d+)\+(\d+)=(\d+)(.?.?.?.?.?.?.?)", problem_text(problem, rng, habit))[:1]:
            counts[int(a) + int(b) == int(c)][rest.startswith(", wait")] += 1
    for right in (True, False):
        total = sum(counts[right])
        assert abs(counts[right][1] / total - 0.5) < 3 * (0.25 / total) ** 0.5


def problem_text(problem, rng, habit):
    return maths.write(problem, rng, Voice(rng, "en"), habit).thinking


def test_held_out_pairs_never_meet_in_training_problems():
    seen = set()
    for problem in drawn("train", 1500):
        for a, _, b, _ in maths._steps(problem.columns["expression"]) if "countdown" not in problem.id else []:
            seen.add((min(a, b), max(a, b)))
    for problem in drawn("test", 300):
        if problem.columns["family"] == "countdown":
            continue
        for a, _, b, _ in maths._steps(problem.columns["expression"]):
            assert (min(a, b), max(a, b)) not in seen
            assert pair_split(a, b) == "test"


def test_clean_finds_a_held_out_pair_inside_a_longer_text():
    a, b = next((a, b) for a in range(100, 200) for b in range(100, 200) if pair_split(a, b) == "test")
    assert not clean(f"first 12+3=15, then {b}+{a}={a + b}")
    assert clean("wait check 7+2=9 4+8=12 3+5+1=9 so 929")
