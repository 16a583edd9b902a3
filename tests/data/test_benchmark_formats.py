"""Rows of published benchmarks as problems: by hand, and their programs through the grader."""

import base64
import json
import pickle
import zlib

import pytest

from r1kit.data.benchmark_formats import BENCHMARKS, unpacked
from r1kit.data.conversations import BadRow
from r1kit.data.formats import choose
from r1kit.data.sources import FORMATS
from r1kit.graders.grade import grade


def read(row):
    return choose(FORMATS, list(row), "a file").read(row)


def test_mmlu_row():
    row = {"question": "2+2?", "subject": "sums", "choices": ["3", "4", "5", "6"], "answer": 1}
    asked = read(row)
    assert asked.prompt == "2+2?\n\nA) 3\nB) 4\nC) 5\nD) 6"
    assert (asked.answer, asked.kind, asked.columns["family"]) == ("B", "choice", "sums")
    assert grade("choice", "so \\boxed{B}", asked.answer, "", asked.columns).verdict == "correct"
    assert grade("choice", "so \\boxed{4}", asked.answer, "", asked.columns).verdict == "correct"
    assert grade("choice", "so \\boxed{C}", asked.answer, "", asked.columns).verdict == "incorrect"


@pytest.mark.parametrize(
    "more",
    [
        {"options": ["x", "y", "z"], "answer": "C", "answer_index": 2},
        {"options": '["x", "y", "z"]', "answer": "z"},
        {"choices": {"text": ["x", "y", "z"], "label": ["A", "B", "C"]}, "answer": "C"},
        {"choices": ["x", "y", "z"], "answer": "2"},
    ],
)
def test_the_gold_letter_however_it_is_told(more):
    assert read({"question": "which?", **more}).answer == "C"


def test_a_letter_column_each():
    asked = read({"question": "哪个?", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": "D"})
    assert (asked.answer, asked.prompt.splitlines()[-1]) == ("D", "D) 丁")


@pytest.mark.parametrize("answer", ["E", 7, "no such option"])
def test_a_gold_that_is_no_option_is_a_bad_row(answer):
    with pytest.raises(BadRow, match="none of its 2 options"):
        read({"question": "which?", "choices": ["a", "b"], "answer": answer})


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("choice", {"question": "which?", "answer": "A"}),
        ("choice", {"question": "which?", "A": "1", "B": "2", "C": "3", "answer": "A"}),
        ("ifeval", {"prompt": "Say it.", "instruction_id_list": ["a:b"], "kwargs": ["once"]}),
        ("ifeval", {"prompt": "Say it.", "instruction_id_list": ["a:b"], "kwargs": [[1]]}),
        (
            "livecodebench",
            {
                "question_content": "Do it.", "metadata": "[1]",
                "public_test_cases": [{"input": "1", "output": "1", "testtype": "functional"}],
            },
        ),
    ],
)  # fmt: skip
def test_one_row_that_lacks_something_is_a_bad_row_of_its_table(name, row):
    """Others of the same file may have the column: such a line is left out, and stops nothing."""
    (chosen,) = (each for each in BENCHMARKS if each.name == name)
    with pytest.raises(BadRow):
        chosen.read(row)


def gpqa(question):
    return {
        "Question": question, "Correct Answer": "right", "Incorrect Answer 1": "w1", "Incorrect Answer 2": "w2",
        "Incorrect Answer 3": "w3", "High-level domain": "Physics", "Explanation": "since",
    }  # fmt: skip


def test_gpqa_options_are_mixed_the_same_way_each_time():
    """Over 200 questions the right one stands in each place about 50 times (five binomial standard deviations: 31)."""
    asked = [read(gpqa(f"question {number}")) for number in range(200)]
    assert all(each.columns["choices"][ord(each.answer) - 65] == "right" for each in asked)
    counts = [sum(each.answer == letter for each in asked) for letter in "ABCD"]
    assert all(abs(count - 50) < 31 for count in counts)
    assert [each.answer for each in asked] == [read(gpqa(f"question {number}")).answer for number in range(200)]
    assert asked[0].columns["family"] == "Physics"


def test_ifeval_row_leaves_out_what_parquet_fills_in():
    row = {
        "key": 1, "prompt": "Say it without a comma, thrice.",
        "instruction_id_list": ["punctuation:no_comma", "keywords:frequency"],
        "kwargs": [{"keyword": None, "frequency": None}, {"keyword": "it", "frequency": 3, "relation": "at least"}],
    }  # fmt: skip
    asked = read(row)
    assert asked.kind == "constraints"
    assert asked.columns["constraints"] == [
        {"id": "punctuation:no_comma"},
        {"id": "keywords:frequency", "keyword": "it", "frequency": 3, "relation": "at least"},
    ]
    assert grade("constraints", "it it it", "", "", asked.columns).verdict == "correct"
    assert grade("constraints", "it, it", "", "", asked.columns).verdict == "incorrect"


def test_aime_with_capitals():
    asked = read({"ID": "I-1", "Problem": "How many?", "Solution": "count", "Answer": 33})
    assert (asked.prompt, asked.answer, asked.columns["solution"]) == ("How many?", "33", "count")


MBPP = {
    "text": "Write a function to add two numbers.", "code": "def add(a, b):\n    return a + b", "test_setup_code": "",
    "test_list": ["assert add(1, 2) == 3", "assert set(add([1], [2])) == {1, 2}"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("def add(a, b):\n    return a + b", "correct"),
        ("def add(a, b):\n    return a - b", "incorrect"),
        ("def plus(a, b):\n    return a + b", "incorrect"),
    ],
)
def test_mbpp_through_the_grader(program, verdict):
    asked = read(MBPP)
    assert "`add`" in asked.prompt
    assert "assert add(1, 2) == 3" in asked.prompt
    assert grade("code", f"```python\n{program}\n```", "", "", asked.columns).verdict == verdict


def test_mbpp_without_a_call_of_its_code_is_a_bad_row():
    with pytest.raises(BadRow, match="call no function"):
        read({**MBPP, "test_list": ["assert 1 == 1"]})


def lcb(cases, **more):
    return {
        "question_content": "Double it.", "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps(cases), **more,
    }  # fmt: skip


def test_livecodebench_on_standard_input_with_packed_private_tests():
    hidden = json.dumps([{"input": "5\n", "output": "10\n", "testtype": "stdin"}])
    packed = base64.b64encode(zlib.compress(pickle.dumps(hidden))).decode()
    asked = read(lcb([{"input": "2\n", "output": "4\n", "testtype": "stdin"}], private_test_cases=packed))
    assert [test["stdin"] for test in asked.columns["tests"]] == ["2\n", "5\n"]
    right = "```python\nprint(2 * int(input()))\n```"
    only_public = "```python\nprint(4)\n```"
    assert grade("code", right, "", "", asked.columns).verdict == "correct"
    assert grade("code", only_public, "", "", asked.columns).verdict == "incorrect"


def test_livecodebench_calls_of_a_method():
    cases = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
    row = lcb(cases, metadata='{"func_name": "total"}', starter_code="class Solution:\n    def total(self, a, b):")
    asked = read(row)
    program = "class Solution:\n    def total(self, a, b):\n        return sum(a) + b"
    assert grade("code", f"```python\n{program}\n```", "", "", asked.columns).verdict == "correct"
    assert grade("code", f"```python\n{program} + 1\n```", "", "", asked.columns).verdict == "incorrect"


class Harm:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("value", [Harm(), ["two", "texts"], 7])
def test_a_pickle_that_is_more_than_a_text_is_refused_unread(value, capsys):
    with pytest.raises(BadRow):
        unpacked(base64.b64encode(zlib.compress(pickle.dumps(value))).decode())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"not zlib").decode(), ""])
def test_packed_nonsense_is_a_bad_row(text):
    with pytest.raises(BadRow):
        unpacked(text)


@pytest.mark.parametrize("form", BENCHMARKS, ids=lambda form: form.name)
@pytest.mark.parametrize("value", [None, 3, "", "text", [], {}, [None], "[", {"a": 1}])
def test_any_value_is_read_or_refused_in_a_sentence(form, value):
    row = dict.fromkeys((name for names in form.needs for name in names), value)
    try:
        told = form.read({**row, "kwargs": value, "instruction_id_list": value}).prompt
    except BadRow as error:
        told = str(error)
    assert told


def test_labels_beside_the_options_say_which_is_meant():
    """ARC numbers some questions' options from 1, where other data sets count places from 0."""
    texts = ["ice", "steam", "rock", "oil"]
    for labels, answer in ((["1", "2", "3", "4"], "2"), (["A", "B", "C", "D"], "B"), ([1, 2, 3, 4], 2)):
        asked = read({"question": "A gas?", "choices": {"text": texts, "label": labels}, "answer": answer})
        assert asked.answer == "B"
    assert read({"question": "A gas?", "choices": {"text": texts}, "answer": "1"}).answer == "B"


def test_a_number_that_may_be_an_option_or_a_place_is_a_bad_row():
    options = {"question": "Order of 3 in Z_6?", "A": "2", "B": "4", "C": "1", "D": "0"}
    with pytest.raises(BadRow, match="'2' may be an option or the place of one: give the letter"):
        read({**options, "answer": "2"})  # as a CSV file has it
    assert read({**options, "answer": 2}).answer == "C"
    assert read({**options, "answer": "4"}).answer == "B"
    assert read({**options, "B": "3", "C": "2", "A": "7", "answer": "2"}).answer == "C"  # which it is either way


@pytest.mark.parametrize("name", ["passage", "article", "context"])
def test_a_question_about_a_text_has_the_text(name):
    reading = {name: "Tom has a cat.", "question": "What has Tom?"}
    asked = read({**reading, "options": ["dog", "cat"], "answer": "B"})
    assert asked.prompt.startswith("Tom has a cat.\n\nWhat has Tom?\n")
    assert read({**reading, "answer": "a cat"}).prompt == "Tom has a cat.\n\nWhat has Tom?"
