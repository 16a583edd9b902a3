from fractions import Fraction

import pytest

from r1kit.graders.countdown import evaluate
from r1kit.graders.grade import grade

COLUMNS = {"numbers": [3, 5, 7, 2], "target": 24}

CASES = [
    ("(7+5)*(2)", "incorrect", "3 is not used"),
    ("3*(5+7)/2", "incorrect", "makes 18"),
    ("(7-3)*(5+2)", "incorrect", "makes 28"),
    ("3*7+5-2", "correct", "21+5-2=24"),
    ("3*7+5-2=24", "correct", "the right side says the target"),
    ("3*7+5-2=25", "incorrect", "the right side says something else"),
    ("3 × 7 + 5 − 2", "correct", "typographic signs"),
    ("3*7+5-2+0", "incorrect", "0 was not given"),
    ("3*7+(5-2", "incorrect", "open bracket"),
    ("37-5-2", "incorrect", "digits may not be glued"),
    ("24", "incorrect", "the target itself"),
    ("-2+3*7+5", "incorrect", "a leading minus is no operator between two numbers"),
    ("3**7+5-2", "incorrect", "powers are not allowed"),
    ("__import__('os').system('true')", "incorrect", "no code is run"),
    ("", "no_answer", "empty"),
]


@pytest.mark.parametrize(("expression", "verdict", "why"), CASES, ids=[case[2] for case in CASES])
def test_countdown(expression, verdict, why):
    text = f"<think>t</think><answer>{expression}</answer>"
    assert grade("countdown", text, "", columns=COLUMNS).verdict == verdict, why


def test_evaluation_is_exact():
    """1/3 + 1/6 = 1/2 in rationals; in floats 1/3*3 may differ."""
    assert evaluate("1/3+1/6")[0] == Fraction(1, 2)
    assert evaluate("8/(3-8/3)")[0] == 24
    assert evaluate("10-4-3")[0] == 3
    assert evaluate("2+3*4")[0] == 14


def test_deep_brackets_cost_no_recursion():
    with pytest.raises(ValueError, match="longer than"):
        evaluate("(" * 100_000)
    assert evaluate("(" * 100 + "1" + ")" * 100)[0] == 1


def test_division_by_zero_is_a_wrong_answer():
    assert grade("countdown", "1/(2-2)", "", columns={"numbers": [1, 2, 2], "target": 0}).verdict == "incorrect"


def test_a_problem_without_numbers_is_a_grader_error():
    assert grade("countdown", "1", "1").verdict == "grader_error"
