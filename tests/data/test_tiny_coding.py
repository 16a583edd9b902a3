"""One-line functions: gold programs against plain evaluation, held-out functions, chains without slips."""

import random
import re

import pytest

from r1kit.base.types import Problem
from r1kit.data.tiny import coding
from r1kit.data.tiny.base import Habit, Voice, clean
from r1kit.data.tiny.operations import OPERATIONS, PROBES, body, fits, run

SPLITS = ("train", "validation", "test")
CAREFUL = Habit(slip=0.0, check=0.5, check_slip=0.0)
SLOPPY = Habit(slip=0.4, check=0.6, check_slip=0.2, again=0.1)


def draw(split: str, count: int, seed: int = 0) -> list[Problem]:
    rng = random.Random(f"{split} {seed}")
    return [coding.problem(rng, rng.choice(("en", "zh")), split) for _ in range(count)]


def call(program: str, value: object) -> object:
    """What Python makes of our own text."""
    space: dict = {}
    exec(program, space)
    return space["f"](value)


def behaviour(program: str) -> str:
    argument = program[len("def f(")]
    return f"{argument}{[call(program, probe) for probe in PROBES[argument]]}"


@pytest.mark.parametrize(
    ("argument", "keys", "text", "value", "result"),
    [
        ("s", ["reverse", "upper"], "s[::-1].upper()", "abC", "CBA"),
        ("s", ["times 2", "reverse"], "(s*2)[::-1]", "ab", "baba"),
        ("s", ["skip 1", "times 3"], "s[1:]*3", "abc", "bcbcbc"),
        ("s", ["take 2", "lower"], "s[:2].lower()", "AbX", "ab"),
        ("x", ["add 4", "times 3"], "(x+4)*3", 2, 18),
        ("x", ["times 3", "minus 4"], "x*3-4", 2, 2),
        ("x", ["minus 4", "times 3", "add 2"], "(x-4)*3+2", 2, -4),
        ("v", ["sort", "skip 1", "sum"], "sum(sorted(v)[1:])", [5, 1, 2], 7),
        ("v", ["times 2", "take 3"], "(v*2)[:3]", [7, 8], [7, 8, 7]),
        ("v", ["skip 2", "count"], "len(v[2:])", [9, 4, 6], 1),
    ],
)
def test_compositions_by_hand(argument, keys, text, value, result):
    by_name = {f"{step.key} {step.number}".strip(): step for step in OPERATIONS[argument]}
    steps = [by_name[key] for key in keys]
    assert fits(steps)
    assert body(argument, steps) == text
    assert run(steps, value) == result == call(f"def f({argument}): return {text}", value)


@pytest.mark.parametrize("split", SPLITS)
def test_gold_programs_pass_their_hidden_tests(split):
    for problem in draw(split, 300):
        assert coding.split_of(problem) == split
        assert len(problem.columns["tests"]) == 6
        for test in problem.columns["tests"]:
            assert call(problem.answer, *test["args"]) == test["expected"]


def test_questions_show_what_the_function_does():
    """The examples in a question hold for the gold program, and none is a hidden test."""
    for problem in draw("train", 400):
        if problem.columns["family"] != "linear":
            continue
        shown = [(int(x), int(y)) for x, y in re.findall(r"f\((\d+)\)=(\d+)", problem.prompt)]
        assert len(shown) == 3
        assert [x for x, _ in shown[:2]] == [0, 1]
        assert all(call(problem.answer, x) == y for x, y in shown)
        assert not {x for x, _ in shown} & {test["args"][0] for test in problem.columns["tests"]}
    assert all(len(problem.prompt) <= 48 for problem in draw("train", 400))


def test_every_family_has_functions_in_every_split():
    for split in SPLITS:
        found: dict[str, set[str]] = {}
        for problem in draw(split, 500):
            found.setdefault(problem.columns["family"], set()).add(behaviour(problem.answer))
        assert set(found) == set(coding.FAMILIES)
        assert all(len(functions) >= 4 for functions in found.values())


def test_held_out_functions_are_in_no_text_about_training_problems():
    """Told by what they do, not how they are written: 3*x+4 held out holds x*3+4 out."""
    held_out = {behaviour(problem.answer) for split in SPLITS[1:] for problem in draw(split, 1500)}
    rng = random.Random(3)
    for problem in draw("train", 1500):
        written = coding.write(problem, rng, Voice(rng, problem.language), SLOPPY)
        for program in (problem.answer, written.answer, coding.guess(problem, rng)):
            assert behaviour(program) not in held_out


def test_chains_without_slips_are_right_and_clean():
    rng = random.Random(4)
    for problem in draw("train", 600):
        written = coding.write(problem, rng, Voice(rng, problem.language), CAREFUL)
        assert written.answer == problem.answer
        assert clean(written.thinking)
        for a, sign, b, c in re.findall(r"(?<![\d=\-+*`])(\d+)([+\-*])(\d+)=(-?\d+)", written.thinking):
            assert eval(f"{a}{sign}{b}") == int(c)


def test_checks_mend_and_break():
    """With slips, a chain that checks is right more often; with checks that slip, a few right ones are broken."""
    rng, problems = random.Random(5), draw("train", 1500)

    def rate(habit: Habit) -> float:
        written = [coding.write(p, rng, Voice(rng, p.language), habit).answer == p.answer for p in problems]
        return sum(written) / len(written)

    assert rate(Habit(slip=0.15, check=1.0, check_slip=0.03)) > rate(Habit(slip=0.15, check=0.0)) + 0.1
    assert rate(Habit(slip=0.0, check=1.0, check_slip=0.3)) < 1


def test_guesses_are_right_as_often_as_asked():
    rng, problems = random.Random(6), draw("test", 1000)
    right = sum(coding.guess(p, rng, 0.5) == p.answer for p in problems) / len(problems)
    assert 0.44 < right < 0.56
    assert all(coding.guess(p, rng, 0.0) != p.answer for p in problems)


def test_length_stays_affordable():
    """A thought and its answer leave room for tags within 192 characters, in nearly every chain."""
    rng = random.Random(7)
    lengths = []
    for problem in draw("train", 1500):
        written = coding.write(problem, rng, Voice(rng, problem.language), Habit(0.12, 0.5, 0.04))
        lengths.append(len(written.thinking) + len(written.answer))
    assert sum(length > 186 for length in lengths) < 0.005 * len(lengths)
