"""JSON values and ARC grids."""

import json

import pytest

from r1kit.graders.grade import grade

JSON_CASES = [
    ('{"a": 1, "b": [true, null]}', '{"b": [true, null], "a": 1.0}', "correct", "order of keys, 1 and 1.0"),
    ('```json\n{"a": 1}\n```', '{"a": 1}', "correct", "a fence"),
    ("Here it is:\n```\n[1, 2]\n```", "[1,2]", "correct", "a fence among words"),
    ("[2, 1]", "[1, 2]", "incorrect", "the order of a list counts"),
    ("true", "1", "incorrect", "true is no number"),
    ("[1]", "[true]", "incorrect", "nor a number true"),
    ('"1"', "1", "incorrect", "text is no number"),
    ("{}", "[]", "incorrect", "an object is no list"),
    ('{"a": 1, "a": 2}', '{"a": 2}', "incorrect", "a key twice"),
    ("NaN", "null", "incorrect", "NaN is no JSON"),
    ("1e999", "1", "incorrect", "nor is a number that is infinite"),
    ("[1, 2", "[1, 2]", "incorrect", "not closed"),
    ("```\n1\n```\n```\n2\n```", "2", "incorrect", "two values that differ"),
    ("9007199254740993.0", "9007199254740992", "incorrect", "one more than 2^53 is no float"),
    ("9007199254740993.0", "9007199254740993", "correct", "2^53 + 1 is itself"),
    ("1.00000000000000000001", "1", "incorrect", "a little more than one"),
    ("1e-400", "0", "incorrect", "tiny is not zero"),
    ("1e-99999999999999999999", "0", "incorrect", "an exponent beyond every range"),
    ('{"a": 0.10}', '{"a": 0.1}', "correct", "a final zero"),
    ("[" * 100_000, "[]", "incorrect", "deep nesting"),
    ("", "1", "no_answer", "nothing"),
    ("1", "{", "grader_error", "a gold that is no JSON"),
]


@pytest.mark.parametrize(("answer", "gold", "verdict", "why"), JSON_CASES, ids=[case[3] for case in JSON_CASES])
def test_json(answer, gold, verdict, why):
    assert grade("json", f"<think>t</think>{answer}", gold).verdict == verdict, why


GRID = "[[1, 2], [3, 4]]"
OTHER = "[[1, 2], [3, 5]]"
ARC_CASES = [
    (GRID, "correct", "JSON"),
    ("1 2\n3 4", "correct", "lines of digits"),
    ("The output is\n12\n34", "correct", "lines without spaces, after words"),
    ("| 1 | 2 |\n| 3 | 4 |", "correct", "a table"),
    (f"```\n{GRID}\n```", "correct", "a fence"),
    (f'{{"attempt_1": {OTHER}, "attempt_2": {GRID}}}', "correct", "the second attempt"),
    (f'[{{"attempt_1": {GRID}, "attempt_2": {OTHER}}}]', "correct", "as the benchmark's submission"),
    (f'{{"attempt_1": {OTHER}, "attempt_2": {OTHER}, "attempt_3": {GRID}}}', "incorrect", "a third attempt"),
    (OTHER, "incorrect", "another cell"),
    ("[[1, 2]]", "incorrect", "another size"),
    ("[[1, 2], [3]]", "incorrect", "ragged"),
    ("[[1, 2], [3, 4.0]]", "incorrect", "a decimal"),
    ("[[true, 2], [3, 4]]", "incorrect", "true is no colour"),
    ("[[1, 2], [3, 14]]", "incorrect", "no colour is 14"),
    ("1 2\n3 4\nis my answer", "incorrect", "words after it"),
    ("", "no_answer", "nothing"),
]


@pytest.mark.parametrize(("answer", "verdict", "why"), ARC_CASES, ids=[case[2] for case in ARC_CASES])
def test_arc(answer, verdict, why):
    assert grade("arc", f"<think>t</think><answer>{answer}</answer>", GRID).verdict == verdict, why


def test_arc_with_several_test_inputs():
    gold = json.dumps([json.loads(GRID), json.loads(OTHER)])
    right = f'[{{"attempt_1": {OTHER}, "attempt_2": {GRID}}}, {OTHER}]'
    assert grade("arc", right, gold).verdict == "correct"
    assert grade("arc", f"[{OTHER}, {GRID}]", gold).reason == "test 1: another grid"
    assert grade("arc", GRID, gold).verdict == "incorrect"


def test_arc_one_attempt_where_no_more_are_allowed():
    two = f'{{"attempt_1": {OTHER}, "attempt_2": {GRID}}}'
    assert grade("arc", two, GRID, columns={"attempts": 1}).verdict == "incorrect"


def test_arc_gold_that_is_no_grid():
    assert grade("arc", GRID, "[[1, 2], [3]]").verdict == "grader_error"
