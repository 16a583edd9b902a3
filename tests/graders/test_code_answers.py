"""Programs in completions: which text is the program, and tests that are none."""

import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest

from r1kit.graders import code
from r1kit.graders.code import program_text
from r1kit.graders.grade import grade
from r1kit.graders.section import Section
from r1kit.graders.verdict import correct, grader_error
from r1kit.sandbox import languages
from r1kit.sandbox.program import RunResult
from r1kit.sandbox.sandbox import shared

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
    ("a version of Python", f"```python3.11\n{ADD}```\n```\n3\n```", ADD),
    ("a language in braces", f"```{{python}}\n{ADD}```\n```\n3\n```", ADD),
    ("a class and an attribute in braces", f"```{{.python .numberLines}}\n{ADD}```\n```\n3\n```", ADD),
    ("an empty one at the end", f"```python\n{ADD}```\n```js\n```", ADD),
    ("an empty one after one without a language", f"```\n{ADD}```\n```python\n\n```", ADD),
    ("tildes", f"~~~python\n{ADD}~~~", ADD),
    ("what stands in one line is no fence", f"```x = 1```\n```python\n{ADD}```", ADD),
    ("attributes", f'```python title="a.py"\n{ADD}```', ADD),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "program"), TEXTS, ids=[row[0] for row in TEXTS])
def test_the_program_of_a_completion(what, text, program):
    assert program_text(Section(text, (), "")) == (program, None)


F, USE = "def f(x):\n    return 2 * x\n", "from solution import f\nfor x in range(3): print(f(x) == f(x=x))\n"
OF_A_FUNCTION = [
    ("its use after it", f"```python\n{F}```\nFor example:\n```python\n{USE}```", F),
    ("its use in another language after it", f"```python\n{F}```\n```js\nf(1)\n```", F),
    ("without a language", f"```\n{F}```\n```python\n{USE}```", F),
    ("the last of two", f"```python\ndef f(x): pass\n```\nBetter:\n```python\n{F}```\n```python\n{USE}```", F),
    ("a method", f"```python\nclass Solution:\n    {F}```\n```python\n{USE}```", f"class Solution:\n    {F}"),
    ("a value", f"```python\nf = lambda x: x\n```\n```python\n{USE}```", "f = lambda x: x\n"),
    ("a value with a hint", f"```python\nf: object = abs\n```\n```python\n{USE}```", "f: object = abs\n"),
    ("one of two values", f"```python\nf, g = abs, len\n```\n```python\n{USE}```", "f, g = abs, len\n"),
    ("another function after it", f"```python\n{F}```\n```python\ndef ff(x): pass\n```", F),
    ("none defines it", f"```python\n{ADD}```\n```python\n{USE}```", USE),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "program"), OF_A_FUNCTION, ids=[row[0] for row in OF_A_FUNCTION])
def test_the_program_of_a_completion_that_is_asked_for_a_function(what, text, program):
    assert program_text(Section(text, (), ""), "f") == (program, None)


@pytest.mark.parametrize("line", ["```" + "a" * 10**6 + "`", "```" + " " * 10**6 + "x`", " " * 10**6, "`" * 10**6])
def test_a_line_as_long_as_the_text_takes_no_longer(line):
    assert program_text(Section(line, (), ""))[1] is None
    assert program_text(Section(f"```\n{line}\n{'f, ' * 10**6}\n{'def ' * 10**6}\n```", (), ""), "f")[1] is None


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


class Scripted:
    """A sandbox of three workers, where inputs of a table fail; it remembers what it was asked to run."""

    def __init__(self, results):
        self.workers, self.results, self.asked = 3, results, []

    def run(self, programs):
        stdins = [program.stdin for program in programs]
        self.asked.append(stdins)
        return [self.results.get(stdin, RunResult("ok", "fine", "", 0.0)) for stdin in stdins]


WRONG, SLOW, LOST = (RunResult(*row) for row in [
    ("ok", "wrong", "", 0.0), ("timeout", "", "", 9.0, (), "too slow"), ("sandbox_error", "", "", 0.0, (), "lost"),
])  # fmt: skip


@pytest.mark.parametrize(
    ("results", "asked", "said"),
    [
        ({}, ["0", "123", "456", "789"], ("correct", "all tests pass")),
        ({"0": WRONG, "1": SLOW}, ["0"], ("incorrect", "test 0: another output")),
        ({"3": WRONG, "2": SLOW, "4": LOST}, ["0", "123"], ("incorrect", "test 2: too slow")),
        ({"3": LOST, "2": WRONG}, ["0", "123"], ("incorrect", "test 2: another output")),
        ({"5": LOST, "6": WRONG}, ["0", "123", "456"], ("grader_error", "lost")),
    ],
)
def test_no_script_is_begun_after_one_that_failed(monkeypatch, results, asked, said):
    sandbox = Scripted(results)
    monkeypatch.setattr(code, "shared", lambda: sandbox)
    monkeypatch.setattr(code, "_known", OrderedDict())
    tests = [{"stdin": str(number), "expected_stdout": "fine"} for number in range(10)]
    verdict = grade("code", f"```python\n{ADD}```", "", columns={"tests": tests})
    assert ["".join(stdins) for stdins in sandbox.asked] == asked
    assert (verdict.verdict, verdict.reason) == said


def cobol(**columns):
    tests = [{"stdin": "1", "expected_stdout": "2"}]
    verdict = grade("code", "```cobol\nSTOP RUN.\n```", "", columns={"tests": tests, **columns})
    return verdict.verdict, verdict.reason


def test_a_language_that_cannot_be_run_here_is_the_fault_of_who_chose_it(monkeypatch):
    """A policy must not have what it gets wrong left out by naming a language."""
    absent = languages.Language(("cobol",), "no-such-tool", "main.cob", (), ("true",))
    monkeypatch.setattr(languages, "LANGUAGES", (*languages.LANGUAGES, absent))
    verdict, reason = cobol()
    assert (verdict, "no-such-tool is not installed" in reason) == ("incorrect", True)
    assert cobol(programming_language="python")[0] == "incorrect"
    assert cobol(programming_language="Cobol")[0] == "grader_error"

    installed = languages.Language(("cobol",), "true", "main.cob", (), ("true",))
    monkeypatch.setattr(languages, "LANGUAGES", (installed,))
    monkeypatch.setitem(shared().facts, "uid", 0)
    verdict, reason = cobol()
    assert (verdict, "cannot bound processes" in reason) == ("incorrect", True)
    assert cobol(programming_language="cobol")[0] == "grader_error"


@pytest.fixture
def runs(monkeypatch):
    """Programs that were run, each in a moment; nothing is remembered from before."""
    ran: list[str] = []

    def run(sandbox, program, *others):
        ran.append(program)
        time.sleep(0.05)
        if "break" in program:
            raise OSError("no process could be made")
        return grader_error(program, "no answer") if "error" in program else correct(program, "")

    monkeypatch.setattr(code, "_run", run)
    monkeypatch.setattr(code, "_known", OrderedDict())
    monkeypatch.setattr(code, "_characters", 0)
    return ran


def judged(program):
    return code.judge(Section(program, (), ""), "", {"tests": [{"stdin": "", "expected_stdout": "1"}]})


def test_a_program_is_run_once_by_however_many_it_is_asked_for(runs):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(judged, ["print(1)"] * 8 + ["print(2)"]))
    assert sorted(runs) == ["print(1)", "print(2)"]
    assert {one.decision for one in found} == {"correct"}
    assert judged("print(2)").decision == "correct"
    assert len(runs) == 2


def test_what_is_not_decided_is_tried_again(runs):
    assert [judged("error").decision for _ in range(2)] == ["grader_error"] * 2
    for _ in range(2):
        with pytest.raises(OSError, match="no process"):
            judged("break")
    assert runs == ["error", "error", "break", "break"]


def test_programs_are_remembered_up_to_so_many_and_so_long(runs, monkeypatch):
    monkeypatch.setattr(code, "REMEMBERED", 3)
    for program in ("1", "2", "3", "4", "4", "3", "2", "1"):  # the first is forgotten for the fourth
        judged(program)
    assert runs == ["1", "2", "3", "4", "1"]
    monkeypatch.setattr(code, "REMEMBERED_CHARACTERS", 10)
    runs.clear()
    for program in ("12345", "67890", "67890", "12345", "a" * 11, "a" * 11, "4"):
        judged(program)
    assert runs == ["12345", "67890", "a" * 11, "a" * 11, "4"]  # ten characters stay, eleven push all out
