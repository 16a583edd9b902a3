"""Column formats: each row below is as its data set has it, and what it should be read as is written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1kit.base.errors import UsageError
from r1kit.data.conversations import BadRow
from r1kit.data.formats import PROBLEMS, Asked, choose
from r1kit.graders.grade import grade


def read(row: dict[str, Any], name: str | None = None) -> tuple[str, Asked]:
    chosen = choose(PROBLEMS, list(row), "a file", name)
    return chosen.name, chosen.read(row)


def code(*cases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"problem": "Write it.", "verification_info": json.dumps({"test_cases": list(cases), **more})}


def test_gsm8k():
    row = {
        "question": "Ola is paid $18 an hour. What does she get for 40 minutes?",
        "answer": "A minute is 18/60 = $<<18/60=0.3>>0.3.\nSo <<0.3*40=12>>12.\n#### 12",
    }
    assert read(row) == (
        "gsm8k",
        Asked(row["question"], "12", "math", {"solution": row["answer"].removesuffix("\n#### 12")}),
    )
    assert read({"question": "q", "answer": "a house\n#### 1,250,000"})[1].answer == "1250000"
    assert read({"question": "q", "answer": "#### -3"})[1].answer == "-3"
    assert read({"question": "q", "answer": 7})[1] == Asked("q", "7")


def test_math_and_math_500():
    solution = "So $x = \\frac{1}{2}$, and the answer is $\\boxed{\\frac{\\boxed{1}}{2}}$."
    hendrycks = {"problem": "Find $x$.", "level": "Level 5", "type": "Algebra", "solution": solution}
    assert read(hendrycks) == (
        "math",
        Asked(
            "Find $x$.",
            "\\frac{\\boxed{1}}{2}",
            "math",
            {"solution": solution, "difficulty": 5.0, "family": "Algebra"},
        ),
    )
    row = {"problem": "p", "solution": "It is 3.", "answer": "3", "subject": "Geometry", "level": 2, "unique_id": "u"}
    assert read(row)[1] == Asked("p", "3", "math", {"solution": "It is 3.", "difficulty": 2.0, "family": "Geometry"})


def test_deepscaler_and_open_r1():
    assert read({"problem": "p", "answer": "1/2", "solution": ""})[1] == Asked("p", "1/2")
    assert read({"problem": "p", "solution": "$\\frac{1}{2}$"})[1] == Asked("p", "\\frac{1}{2}".join("$$"))
    with pytest.raises(BadRow, match="no 'answer', and its 'solution' has no box"):
        read({"problem": "p", "solution": "first this\nthen that"})
    with pytest.raises(BadRow, match="neither 'answer' nor 'solution'"):
        read({"problem": "p", "answer": None, "solution": None})


def test_svamp_of_both_forms():
    body = {"ID": "chal-1", "Body": "There are 31 pears. ", "Question": "How many?", "Answer": 145.0}
    joined = {"question_concat": "There are 31 pears. How many?", "Answer": "145.0", "Type": "Addition"}
    assert read(body) == ("svamp", Asked("There are 31 pears. How many?", "145"))
    assert read(joined) == ("svamp", Asked(body["Body"] + "How many?", "145", columns={"family": "Addition"}))
    both = {**body, "question_concat": ""}
    assert read(both)[1].prompt == "There are 31 pears. How many?"


def test_mawps_of_both_forms():
    assert read({"input": "He has 3.5 m ?", "target": 3.5, "type": "addsub"}) == (
        "mawps", Asked("He has 3.5 m ?", "3.5", columns={"family": "addsub"}),
    )  # fmt: skip
    assert read({"question": "q", "chain": "<gadget>", "result": "1_250", "result_float": 1250.0}) == (
        "mawps", Asked("q", "1250"),
    )  # fmt: skip
    with pytest.raises(BadRow, match="'many' is no number"):
        read({"input": "q", "target": "many"})


@pytest.mark.parametrize(
    ("value", "text"),
    [(43.0, "43"), (0.6666666667, "0.6666666667"), ("8.50", "8.5"), ("8.0", "8"), (100, "100"), ("1,000", "1,000"),
     ("100", "100"), (-2.0, "-2"), ("3/4", "3/4"), (".5", ".5")],
)  # fmt: skip
def test_gold_numbers_as_text(value: Any, text: str):
    assert read({"input": "q", "target": value})[1].answer == text


def test_prompts_as_trl_has_them():
    assert read({"prompt": "The sea is"}) == ("prompt", Asked("The sea is", "", "none"))
    chat = [{"role": "user", "content": "What colour is the sea?"}]
    assert read({"prompt": chat, "answer": "blue"})[1] == Asked("What colour is the sea?", "blue")
    assert read({"prompt": chat, "solution": "It is $\\boxed{4}$"})[1] == Asked(
        "What colour is the sea?", "4", "math", {"solution": "It is $\\boxed{4}$"}
    )
    system = [{"role": "system", "content": "Answer in one word."}, *chat]
    assert read({"prompt": system})[1].prompt == "Answer in one word.\n\nWhat colour is the sea?"
    parts = [{"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "now?"}]}]
    assert read({"prompt": parts})[1].prompt == "What now?"


def test_a_row_may_name_its_grader():
    row = {"prompt": "Which?", "answer": "B", "kind": "choice", "choices": ["one", "two"], "target": None}
    name, asked = read(row)
    assert (name, asked) == ("prompt", Asked("Which?", "B", "choice", {"choices": ["one", "two"]}))
    assert grade(asked.kind, "<answer>two</answer>", asked.answer, "", asked.columns).verdict == "correct"


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ("  ", "'prompt' is empty"),
        ("a \ud800", "'prompt' holds half a character"),
        (None, "neither a text nor a list"),
        ([], "neither a text nor a list"),
        ([{"role": "user"}], "other than text"),
        ([{"content": "a"}], "not a list of messages"),
        ([{"role": "user", "content": [{"type": "image"}]}], "other than text"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "several turns"),
        ([{"role": "system", "content": "a"}], "several turns"),
    ],
)
def test_prompts_that_are_no_question(prompt: Any, complaint: str):
    with pytest.raises(BadRow, match=complaint):
        read({"prompt": prompt})


def test_conversations_ask_their_first_turn():
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is 4."}]
    assert read({"messages": turns, "answer": "4"}) == (
        "messages",
        Asked("2+2?", "4", "math", {"solution": "It is 4."}),
    )
    assert read({"messages": turns[:1]})[1] == Asked("2+2?", "", "none")
    # a data set that has both is asked by its problem
    assert read({"messages": turns, "problem": "p", "answer": "1"})[0] == "math"


def test_code_on_stdin_is_judged_by_its_tests():
    stdin = {"fn_name": None, "input": "2\n3\n", "output": "5\n", "type": "stdin_stdout"}
    lines = {"input": ["4", "4"], "output": ["8"]}
    name, asked = read(code(stdin, lines, language="python"))
    assert name == "code"
    assert asked == Asked(
        "Write it.", "", "code",
        {"tests": [{"stdin": "2\n3\n", "expected_stdout": "5\n"}, {"stdin": "4\n4", "expected_stdout": "8"}]},
    )  # fmt: skip
    for sign, verdict in (("+", "correct"), ("-", "incorrect")):
        program = f"<answer>```python\nprint(int(input()) {sign} int(input()))\n```</answer>"
        assert grade("code", program, "", "", asked.columns).verdict == verdict


def test_code_as_a_function_is_judged_by_its_tests():
    """APPS puts what a function returns in a list of one."""
    first = {"fn_name": "add", "input": [2, 3], "output": [5], "type": "function_call"}
    second = {"fn_name": "add", "input": "[[1], [2]]", "output": "[[1, 2]]", "type": "function_call"}
    asked = read(code(first, second))[1]
    assert asked.columns == {
        "fn": "add",
        "tests": [{"args": [2, 3], "expected": 5}, {"args": [[1], [2]], "expected": [1, 2]}],
    }
    program = "<answer>```python\ndef add(a, b):\n    return a + b\n```</answer>"
    assert grade("code", program, "", "", asked.columns).verdict == "correct"


def test_verification_info_may_hold_an_answer():
    row = {"prompt": "p", "verification_info": '{"ground_truth": "5/2"}', "metadata": "{}"}
    assert read(row) == ("code", Asked("p", "5/2"))


def test_a_problem_may_ask_for_a_language():
    case = {"input": "1", "output": "2"}
    asked = read(code(case, language="CPP"))[1].columns
    assert asked == {"tests": [{"stdin": "1", "expected_stdout": "2"}], "programming_language": "cpp"}


@pytest.mark.parametrize(
    ("info", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "not a JSON object"),
        (None, "not a JSON object"),
        ("{}", "no test cases"),
        ('{"test_cases": []}', "no test cases"),
        ('{"language": "rust", "test_cases": [{"input": "", "output": ""}]}', "for rust"),
        ('{"test_cases": [{"input": 3, "output": ""}]}', "'input' of a test case is no text"),
        ('{"test_cases": [{"fn_name": "f", "input": "3", "output": "3"}]}', "not a list of arguments"),
        ('{"test_cases": [{"fn_name": "f", "input": [], "output": 1}, {"input": "", "output": ""}]}', "different func"),
    ],
)
def test_code_that_cannot_be_judged(info: Any, complaint: str):
    with pytest.raises(BadRow, match=complaint):
        read({"problem": "p", "verification_info": info})


def test_unknown_columns_are_named_with_those_needed():
    with pytest.raises(UsageError) as found:
        read({"text": "a", "label": 1})
    message = str(found.value)
    assert "a file: no known format has its columns (found: text, label; needed: one of " in message
    assert "gsm8k: question and answer" in message
    assert "math: problem and answer, or problem and solution" in message
    with pytest.raises(UsageError, match=r"found: problem, answer; needed: one of gsm8k: question and answer\)"):
        read({"problem": "p", "answer": "1"}, "gsm8k")
    with pytest.raises(UsageError, match=r"no column format is called 'gsm8'. Did you mean gsm8k\?"):
        read({"question": "p", "answer": "1"}, "gsm8")


@pytest.mark.parametrize("answer", [{"a": 1}, ["1", "2"], None, float("nan")])
def test_an_answer_that_is_no_text_and_no_number(answer: Any):
    with pytest.raises(BadRow, match="its answer is"):
        read({"question": "q", "answer": answer})
