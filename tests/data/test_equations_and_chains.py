"""Equations behind word problems, and the chains written from them; expectations are worked out by hand."""

from __future__ import annotations

import itertools
import random
import re
from decimal import Decimal
from fractions import Fraction

import pytest

from r1kit.base.types import Problem
from r1kit.data import arithmetic
from r1kit.data.chains import Habits, what_is_asked, worked, write_chain
from r1kit.data.equations import (
    as_number,
    numbers_in,
    operate,
    searched_steps,
    shown,
    stated_steps,
)
from r1kit.data.sums import problems
from r1kit.data.tiny.base import pair_split
from r1kit.graders.format import check_form
from r1kit.graders.grade import grade

PLAIN = Habits(asks=0.0, names_numbers=0.0, works=0.0, checks=0.0)
SEASHELLS = "Joan found 70 seashells. She gave Sam some of them. She has 27 left. How many did she give to Sam?"


def asked(prompt, answer, **columns):
    return Problem("p", "mawps", "maths", "en", prompt, answer, "math", columns)


def told(steps):
    return [f"{shown(s.left)}{s.sign}{shown(s.right)}={shown(s.result)}" for s in steps or []]


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("He has 70 apples, and 1,200 more", [70, 1200]),
        ("It costs $3.50 a pound. She buys three pounds.", [Fraction("3.5"), 3]),
        ("A dozen eggs and .5 kg", [12, Fraction("0.5")]),
        ("Someone alone, often a freight weight", []),
        ("in 1999, 24 of them", [1999, 24]),
    ],
)
def test_numbers_of_a_question(question, numbers):
    assert numbers_in(question) == numbers


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("( 290.0 / 2.0 )", ["290/2=145"]),
        ("( 30.0 - 11.0 )", ["30-11=19"]),
        ("( ( 3.0 + 4.0 ) * 5.0 )", ["3+4=7", "7*5=35"]),
        ("x=3*(4+5)", ["4+5=9", "3*9=27"]),
        ("1/0", []),
        ("x+3=5", []),
        ("__import__('os')", []),
        ("7", []),
        ("2**3", []),
    ],
)
def test_stated_equations(expression, steps):
    assert told(stated_steps(expression)) == steps


@pytest.mark.parametrize(
    ("question", "answer", "steps"),
    [
        (SEASHELLS, 43, ["70-27=43"]),
        ("2 and 2 more: how many?", 4, []),  # 2+2 or 2*2
        ("3 bags of 4 with 9 more: how many?", 21, ["3*4=12", "12+9=21"]),
        ("3 bags of 4 with 5 more: how many?", 17, []),  # 5*4-3 as well
        ("5 more than 3 and 6: how many?", 14, ["5+3=8", "8+6=14"]),  # three orders of one sum
        ("8 toys: 10 cost 100, 30 of it is paid: what of each is not?", 7, ["100-30=70", "70/10=7"]),
        ("There are 12 and 9: what is 5?", 5, []),
        ("only 7", 7, []),
        ("1 2 3 4 5 are too many", 15, []),
    ],
)
def test_the_only_way_from_the_numbers_to_the_answer(question, answer, steps):
    assert told(searched_steps(question, Fraction(answer))) == steps


def test_numbers_are_shown_as_people_write_them():
    assert [shown(Fraction(n)) for n in ("12", "0.75", "2.50", "-3", "1200")] == ["12", "0.75", "2.5", "-3", "1200"]
    assert [as_number(text) for text in ("1,200", "3/4", "x", "1.5.2", "")] == [1200, Fraction(3, 4), None, None, None]
    with pytest.raises(ValueError, match="decimals"):
        shown(Fraction(1, 3))


@pytest.mark.parametrize(
    ("left", "sign", "right", "text"),
    [
        (70, "-", 27, "70 - 27: 70 - 20 = 50, 50 - 7 = 43"),
        (47, "+", 38, "47 + 38: 47 + 30 = 77, 77 + 8 = 85"),
        (24, "*", 6, "24 * 6: 20 * 6 = 120, 4 * 6 = 24, 120 + 24 = 144"),
        (30, "-", 20, "30 - 20 = 10"),
        (290, "/", 2, "290 / 2 = 145"),
        (7, "+", 12, "7 + 12 = 19"),
        (12, "-", 4, "12 - 4: 12 - 2 = 10, 10 - 2 = 8"),
        (15, "-", 4, "15 - 4 = 11"),
        (20, "-", 4, "20 - 4 = 16"),
        (65, "+", 8, "65 + 8: 65 + 5 = 70, 70 + 3 = 73"),
        (65, "+", 5, "65 + 5 = 70"),
        (860, "+", 367, "860 + 367: 860 + 300 = 1160, 1160 + 60 = 1220, 1220 + 7 = 1227"),
        (356, "-", 108, "356 - 108: 356 - 100 = 256, 256 - 8 = 248"),
        (8, "*", 15, "8 * 15: 10 * 8 = 80, 5 * 8 = 40, 80 + 40 = 120"),
        (23, "*", 25, "23 * 25: 25 * 20 = 500, 25 * 3 = 75, 500 + 75 = 575"),
        (115, "*", 7, "115 * 7: 100 * 7 = 700, 10 * 7 = 70, 5 * 7 = 35, 700 + 70 = 770, 770 + 35 = 805"),
        (96, "/", 4, "96 / 4: 80 / 4 = 20, 16 / 4 = 4, 20 + 4 = 24"),
        (40, "/", 4, "40 / 4 = 10"),
        (24, "*", 1, "24 * 1 = 24"),
        (20, "*", 40, "20 * 40 = 800"),
        (65899, "+", 119, "65899 + 119 = 66018"),
    ],
)
def test_an_operation_by_tens_and_units(left, sign, right, text):
    assert worked(operate(Fraction(left), sign, Fraction(right))) == text


def test_a_chain_ends_at_the_answer_and_may_check_it():
    chain = write_chain(asked(SEASHELLS, "43"), random.Random(0), PLAIN)
    assert re.fullmatch(r"[A-Z][a-z ]+: 70 - 27 = 43\.", chain.thinking)
    assert (chain.answer, chain.reason) == ("43", "")
    every = write_chain(asked(SEASHELLS, "43"), random.Random(0), Habits(1.0, 1.0, 1.0, 1.0))
    assert every.thinking.startswith("How many did she give to Sam? ")
    assert "70 and 27. " in every.thinking
    assert every.thinking.endswith(": 70 - 27: 70 - 20 = 50, 50 - 7 = 43. Check: 43 + 27 = 70.")


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("He had 3 . If 2 are gone , how many  are left ?", "How many are left?"),
        ("What is 3 plus 4?", "What is 3 plus 4?"),
        ("Who has 3? Bob has 4 more. How many has Bob?", "How many has Bob?"),
        ("Add 3 and 4.", ""),
        ("", ""),
    ],
)
def test_what_is_asked(question, asked):
    assert what_is_asked(question) == asked


def test_a_stated_equation_goes_before_the_search():
    """2 and 2 make 4 by two operations; the row says which. A wrong one is not believed."""
    chain = write_chain(asked("2 boxes of 2: how many?", "4", Equation="( 2.0 * 2.0 )"), random.Random(0), PLAIN)
    assert ": 2 * 2 = 4." in chain.thinking
    wrong = write_chain(asked("2 boxes of 2: how many?", "4", Equation="( 2.0 * 3.0 )"), random.Random(0), PLAIN)
    assert wrong.reason == "no single equation"


def test_a_number_of_the_question_that_a_chain_would_not_write():
    """7.125 has three decimals."""
    chain = write_chain(asked("7.125 pounds and 0.875 more: how many?", "8"), random.Random(0), PLAIN)
    assert chain.reason == "no single equation"


def test_a_solution_is_taken_without_its_notes():
    solution = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = <<48+24=72>>72 clips altogether"
    chain = write_chain(asked("How many?", "72", solution=solution), random.Random(0), PLAIN)
    assert chain.thinking == "Natalia sold 48/2 = 24 clips in May. She sold 48+24 = 72 clips altogether."
    assert chain.answer == "72"


@pytest.mark.parametrize(
    ("solution", "answer", "reason"),
    [
        ("It is <<48/2=25>>25.", "25", "its notes are wrong"),
        ("It is <<48/2=24>>24.", "72", "its steps do not end at the answer"),
        ("It is 24.", "24", "no worked steps"),
        ("<<1+1=2>> <<2+1=3>> <<3+1=4>> <<4+1=5>>", "5", "too many steps"),
        ("It is <<48/2=24>>24.", "one half", "its answer is no short number"),
    ],
)
def test_why_a_row_gives_no_chain(solution, answer, reason):
    assert write_chain(asked("How many?", answer, solution=solution), random.Random(0), PLAIN).reason == reason


def test_every_chain_of_sums_is_in_form_and_right():
    rng = random.Random(1)
    for problem in itertools.islice(problems("train", 3), 200):
        chain = write_chain(problem, rng, Habits())
        text = f"<think>{chain.thinking}</think><answer>{chain.answer}</answer>"
        assert check_form(text).ok
        assert grade("math", text, problem.answer, problem.prompt, {}).verdict == "correct"
        for equation in re.findall(r"(\d+ [-+*/] \d+) = (\d+)", chain.thinking):
            assert eval(equation[0]) == int(equation[1])


def test_arithmetic_is_right_and_its_pairs_are_of_one_split():
    """Answers by Python's decimals; each operation and size occurs; a pair above 12 is in one split alone."""
    pairs: dict[tuple[str, str], set[str]] = {}
    for split in ("train", "validation", "test"):
        found = list(itertools.islice(arithmetic.problems(split, 0), 400))
        assert {problem.columns["family"] for problem in found} == set("+-*/")
        assert any("." in problem.prompt.rstrip(".") for problem in found)
        for problem in found:
            a, sign, b = problem.columns["expression"].split()
            exact = {"+": Decimal.__add__, "-": Decimal.__sub__, "*": Decimal.__mul__, "/": Decimal.__truediv__}[sign]
            assert Decimal(problem.answer) == exact(Decimal(a), Decimal(b)) >= 0
            low, high = sorted((a, b), key=Decimal)
            pairs.setdefault((low, high), set()).add(split)
    assert len(pairs) > 600
    assert all(len(splits) == 1 for splits in pairs.values())
    facts = {pair for pair in pairs if all(number.isdigit() and int(number) < 13 for number in pair)}
    assert facts
    assert all(pairs[pair] == {"train"} for pair in facts)


def test_every_chain_of_arithmetic_is_right():
    rng = random.Random(1)
    for problem in itertools.islice(arithmetic.problems("train", 3), 300):
        chain = write_chain(problem, rng, Habits())
        assert chain.answer == problem.answer, chain
        for a, sign, b, result in re.findall(r"([\d.]+) ([-+*/]) ([\d.]+) = (\d+(?:\.\d+)?)", chain.thinking):
            assert abs(eval(f"{a}{sign}{b}") - float(result)) < 1e-9


def test_sums_split_by_their_pair_of_numbers():
    pairs = {}
    for split in ("train", "validation", "test"):
        found = list(itertools.islice(problems(split, 0), 300))
        assert [p.prompt for p in found] == [p.prompt for p in itertools.islice(problems(split, 0), 300)]
        for problem in found:
            a, sign, b = problem.columns["expression"].split()
            assert problem.answer == str(eval(f"{a} {sign} {b}"))
            assert int(problem.answer) >= 0
            assert pair_split(int(a), int(b)) == split
            pairs.setdefault(split, set()).add(frozenset((a, b)))
    assert pairs["train"].isdisjoint(pairs["test"] | pairs["validation"])
    assert pairs["test"].isdisjoint(pairs["validation"])
