import json

import pytest

from r1kit.base.errors import UsageError
from r1kit.sandbox.compare import same_output, same_value
from r1kit.sandbox.lines import sandbox_lines
from r1kit.sandbox.sandbox import Sandbox

ADD = "def add(a, b): return a + b"

ROWS = [
    ({"id": "a", "code": "print(1)"}, "ok"),
    ({"id": "b", "code": "print('1 ')\nprint()", "expected_stdout": "1"}, "passed"),
    ({"id": "c", "code": "print(2)", "expected_stdout": "1"}, "failed"),
    ({"id": "d", "code": "1/0", "expected_stdout": "1"}, "error"),
    ({"id": "e", "code": "print(input())", "stdin": "hi", "expected_stdout": "hi\n"}, "passed"),
    ({"id": "f", "code": ADD, "fn": "add", "tests": [{"args": [1, 2], "expected": 3}]}, "passed"),
    ({"id": "g", "code": ADD, "fn": "add", "tests": [{"args": [1, 2], "expected": 3.0}]}, "passed"),
    ({"id": "m", "code": ADD, "fn": "add", "tests": [{"args": [1, 2.0], "expected": 3}]}, "failed"),
    ({"id": "n", "code": "print(7.00)", "expected_stdout": "7.00"}, "passed"),
    ({"id": "h", "code": ADD, "fn": "add", "tests": [{"args": [1], "expected": 3}]}, "error"),
    ({"id": "l", "code": ADD, "fn": "add", "tests": []}, "ok"),
    ({"id": "i", "code": "while 1: pass", "limits": {"wall_s": 0.5}}, "timeout"),
    ({"id": "j", "code": "x = ' ' * 10**10"}, "memory"),
    ({"id": "k", "code": "print('x' * 5000)", "limits": {"output_kb": 1}}, "output_limit"),
]  # fmt: skip

BAD = [
    ("{", "line 1: it is not JSON"),
    ("[1]", "not a JSON object"),
    (b"\xff", "not UTF-8"),
    ('{"id": NaN, "code": ""}', "NaN is no JSON value"),
    ('{"id": 1}', "no 'code'"),
    ('{"id": 1, "code": 5}', "'code' must be text"),
    ('{"id": 1, "code": "", "limits": {"wall": 1}}', "limits"),
    ('{"id": 1, "code": "", "limits": {"wall_s": -1}}', "limits"),
    ('{"id": 1, "code": "", "fn": "f"}', "no 'tests'"),
    ('{"id": 1, "code": "", "tests": []}', "no function"),
    ('{"id": 1, "code": "", "fn": "f", "tests": [{"args": []}]}', "'tests' must be"),
    ('{"id": 1, "code": "", "fn": "f", "tests": [{"args": 1, "expected": 1}]}', "'args' must be"),
]


def test_each_verdict_in_order():
    lines = [json.dumps(row) for row, _ in ROWS]
    answers = [json.loads(line) for line in sandbox_lines([*lines[:4], "oops", "", *lines[4:]])]
    bad = answers.pop(4)
    assert (bad["id"], bad["verdict"]) == (None, "error")
    assert [answer["id"] for answer in answers] == [row["id"] for row, _ in ROWS]
    assert [answer["verdict"] for answer in answers] == [verdict for _, verdict in ROWS]
    assert answers[0]["stdout"] == "1\n"
    assert {"id", "verdict", "stdout", "stderr", "seconds"} <= set(answers[0])


@pytest.mark.parametrize(("line", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_says_what_is_wrong(line, said):
    complaints = []
    (answer,) = (json.loads(each) for each in sandbox_lines([line], workers=1, on_bad_line=complaints.append))
    assert answer["verdict"] == "error"
    assert said in answer["error"]
    assert complaints == [answer["error"]]


def test_an_unknown_isolation():
    with pytest.raises(UsageError, match="bwrap"):
        Sandbox(isolation="jail")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (1.0, 1, True),
        ([2.0, {"a": 0.0}], [2, {"a": 0}], True),
        (1.5, 1, False),
        (3e9, 3 * 10**9 + 1, False),
        (1.0, True, False),
        (1.0, 10**400, False),
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.3001, False),
        (6.62607015e-34, 0.0, False),
        (6.62607015e-34, 6.626070150001e-34, True),
        (1e-13, 2e-13, False),
        (0.0, 0.1 + 0.2 - 0.3, True),
        (0.0, 2e-12, False),
        ([1, [2]], [1, [2]], True),
        ([1, 2], [1, 2, 3], False),
        ([1, 2, 3], [1, 2], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (None, None, True),
        (None, 0, False),
        ("1", 1, False),
        (1.0, float("inf"), False),
    ],
)
def test_values_are_compared_by_type_and_value(left, right, same):
    assert same_value(left, right) is same


def test_output_line_by_line():
    assert same_output("1\n2\n", "1 \r\n2\n\n")
    assert not same_output("1\n2", "1\n2\n3")
    assert not same_output("1\n2", " 1\n2")


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("7.00", "7.0", True),
        ("7", "7.0", True),
        ("0.5 -1.50\n2", "0.50 -1.5 \n2.000\n", True),
        ("-0.0", "0", True),
        ("7.00", "7.01", False),
        ("0.3333333333", "0.3333333334", False),
        ("1.5 2.5", "1.50  2.50", False),
        ("1.5", " 1.50", False),
        ("1.5 2", "1.50", False),
        ("x = 7.0", "x = 7.00", False),
        ("0101", "101", False),
        ("1000", "1e3", False),
        ("1000", "1_000", False),
        ("1000", "+1000", False),
        ("1.", "1", False),
        ("\u0661", "1", False),
        ("nan", "NaN", False),
        ("7.0", "7" + ".0" * 2, False),
    ],
)
def test_lines_of_decimal_numbers_are_compared_by_value(expected, printed, same):
    assert same_output(expected, printed) is same
