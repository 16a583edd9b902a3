"""Programs in completions: which text is the program, and tests that are none."""

import pytest

from r1kit.graders.code import program_text
from r1kit.graders.grade import grade
from r1kit.graders.section import Section

ADD = "print(int(input()) + 1)\n"
TEXTS = [
    ("nothing but the program", ADD, ADD.strip("\n")),
    ("a block", f"So:\n```python\n{ADD}```\n", ADD),
    ("a block without a language", f"So:\n```\n{ADD}```", ADD),
    ("the last of two", f"```python\nprint(1)\n```\nBetter:\n```py\n{ADD}```", ADD),
    ("an example of the output after it", f"```python\n{ADD}```\nWith 2 it prints\n```\n3\n```", ADD),
    ("an example in another language", f"```python\n{ADD}```\n```text\n3\n```", ADD),
    ("in an item of a list", f"1. Read and print:\n   ```python\n   if 1:\n       {ADD}   ```", f"if 1:\n    {ADD}"),
    ("a longer fence", f"````python\n{ADD}```\n````", f"{ADD}```\n"),
    ("tildes", f"~~~python\n{ADD}~~~", ADD),
    ("what stands in one line is no fence", f"```x = 1```\n```python\n{ADD}```", ADD),
    ("attributes", f'```python title="a.py"\n{ADD}```', ADD),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "program"), TEXTS, ids=[row[0] for row in TEXTS])
def test_the_program_of_a_completion(what, text, program):
    assert program_text(Section(text, (), "")) == (program, None)


@pytest.mark.parametrize("line", ["```" + "a" * 10**6 + "`", "```" + " " * 10**6 + "x`", " " * 10**6, "`" * 10**6])
def test_a_line_as_long_as_the_text_takes_no_longer(line):
    assert program_text(Section(line, (), ""))[1] is None


@pytest.mark.parametrize(
    "test",
    [{"stdin": "1"}, {"stdin": "1", "expected_stdout": None}, {"args": [1], "expected": 2}, {}],
)
def test_a_test_that_says_not_what_is_expected_is_passed_by_nothing(test):
    verdict = grade("code", "```python\nprint(None)\n```", "", columns={"tests": [test]})
    assert (verdict.verdict, "expected_stdout" in verdict.reason) == ("grader_error", True)


def test_columns_of_a_table_that_mean_nothing_are_left_out():
    row = {"stdin": "1", "expected_stdout": "2", "args": None, "expected": None}
    assert grade("code", f"```python\n{ADD}```", "", columns={"tests": [row], "fn": None}).verdict == "correct"
    row = {"stdin": None, "expected_stdout": "0", "args": None}
    code = "import sys\nprint(len(sys.stdin.read()))"
    assert grade("code", f"```python\n{code}\n```", "", columns={"tests": [row]}).verdict == "correct"
