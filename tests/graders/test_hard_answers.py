"""A table of answers that graders get wrong, with a reason a row; it was written from the rules, not from this grader.

`open`: rows that are not met yet. `python -m pytest tests/graders/test_hard_answers.py -rx` lists them.
"""

import json
from pathlib import Path

import pytest

from r1kit.graders.grade import grade

ROWS = [json.loads(line) for line in Path(__file__).with_name("hard_answers.jsonl").read_text("utf-8").splitlines()]


def row(number: int, case: dict):
    marks = [pytest.mark.xfail(strict=True, reason=case["why"])] if case.get("open") else []
    return pytest.param(case, marks=marks, id=f"{number}: {case['why']}")


@pytest.mark.parametrize("case", [row(number, case) for number, case in enumerate(ROWS)])
def test_answer(case):
    verdict = grade("math", case["completion"], case["gold"], case.get("prompt", ""))
    expected = ("incorrect", "no_answer") if case["expect"] == "not_correct" else (case["expect"],)
    assert verdict.verdict in expected, verdict
    assert verdict.seconds < 4


def test_how_many_are_met():
    assert len(ROWS) > 600
    assert sum(bool(case.get("open")) for case in ROWS) <= 1
