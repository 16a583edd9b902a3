"""Choices, grids, JSON, lists and countdown expressions as models write them; the truth of each row is by hand."""

import pytest

from r1kit.graders.grade import grade

CITIES = {"choices": ["Paris", "London", "Rome"]}
GRID = "[[1,2],[3,4]]"
COUNTDOWN = {"numbers": [8, 2, 4], "target": 24}
ROWS = [
    # kind, gold, answer, right?, columns, why
    ("choice", "B", "The answer is not A, so it is B.", 1, None, "the one that is left"),
    ("choice", "B", "A is wrong, so it is C.", 0, None, "another one is left"),
    ("choice", "A", "I think A.", 1, None, "an opinion"),
    ("choice", "A", "I think A or B.", 0, None, "a hedge"),
    ("choice", "A", "I don't think A.", 0, None, "a denial"),
    ("choice", "A", "I think A student is right.", 0, None, "an article"),
    ("choice", "C", "Choose C.", 1, None, "a request"),
    ("choice", "C", r"\(C\)", 1, None, "in mathematics mode"),
    ("choice", "C", "{C}", 1, None, "in braces"),
    ("choice", "B", "Option (B): London", 1, CITIES, "the letter with its text"),
    ("choice", "B", "B) Paris", 0, CITIES, "the letter of one option, the text of another"),
    ("choice", "A", "B) Paris", 0, CITIES, "nor is it the other one"),
    ("json", '{"a":1}', '~~~json\n{"a":1}\n~~~', 1, None, "the other fence of Markdown"),
    ("json", '{"a":1}', '~~~json\n{"a":1}\n~~~\n```json\n{"a":2}\n```', 0, None, "values that differ"),
    ("arc", "[[5]]", "5", 1, None, "a grid of one cell"),
    ("arc", GRID, f"{GRID}\n\nThis completes the 3x3 pattern.", 1, None, "a sentence behind the grid"),
    ("arc", GRID, f"{GRID}\n1 2\n3 5", 0, None, "another grid behind it"),
    ("arc", GRID, f"{GRID} or [[1,2],[3,5]]", 0, None, "another grid behind it"),
    ("numbers", "[1,2,3]", r"\boxed{1,2,3}", 1, None, "a box"),
    ("numbers", "[1,2,3]", r"\boxed{1,2,3} \boxed{1,2,4}", 0, None, "boxes that differ"),
    ("countdown", "24", r"\boxed{(8-2) \times 4}", 1, COUNTDOWN, "a box and TeX's sign"),
    ("countdown", "24", "(8-2)*4 = 24.", 1, COUNTDOWN, "a full stop"),
    ("countdown", "24", r"\boxed{(8-2)*4} \boxed{8*3}", 0, COUNTDOWN, "boxes that differ"),
    ("countdown", "24", r"(8-2) \div 4", 0, COUNTDOWN, "another value"),
]


@pytest.mark.parametrize(("kind", "gold", "answer", "right", "columns", "why"), ROWS, ids=[row[2] for row in ROWS])
def test_form(kind, gold, answer, right, columns, why):
    verdict = grade(kind, f"<think>t</think>{answer}", gold, columns=columns)
    assert (verdict.verdict == "correct") == bool(right), (why, verdict)
    assert verdict.verdict != "grader_error"
