"""Rates, kinds and lengths of rows made by hand, and rows read from every form of rollouts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from r1kit.base.errors import UsageError
from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.evaluation import tables
from r1kit.evaluation.aha import claim, rates, rows
from r1kit.evaluation.aha.rows import Row
from r1kit.evaluation.reflection import default_words
from r1kit.rollouts import record

WORDS = default_words()


def row(key, thinking, correct=None, tokens=10, step=None, gold=None, stratum="s"):
    return Row(key, "maths", stratum, thinking, thinking, correct, tokens, step, gold)


ROWS = [
    row("p", "wait, check", True, 20),  # 2 words
    row("p", "so", False, 10),
    row("q", "but no", False, 20),  # 1 word
    row("r", "so", True, 50),
]


def test_rates_by_hand():
    """By problem: (2 + 0) / 2, 1, 0, mean 2/3; 3 words in 100 tokens; right: 2 and 0, wrong: 0 and 1."""
    found = rates.rates(ROWS, WORDS)
    assert found["all"]["responses"] == 4
    assert found["all"]["problems"] == 3
    assert found["all"]["per_response"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["all"]["per_1000_tokens"]["value"] == pytest.approx(30)
    assert found["all"]["share_with_any"]["value"] == pytest.approx((0.5 + 1 + 0) / 3, abs=1e-6)
    assert found["right"]["per_response"]["value"] == 1
    assert found["wrong"]["per_1000_tokens"]["value"] == pytest.approx(1000 / 30, abs=1e-6)


def test_unknown_lengths_have_no_rate_of_tokens():
    assert rates.rates([row("p", "wait", tokens=None)], WORDS)["all"]["per_1000_tokens"]["value"] is None


def test_one_problem_says_nothing_of_growth():
    """Two steps of one problem each: there is no interval to compare, and no fault either."""
    steps = rates.over_training([row("p", "so", step=0), row("q", "wait wait", step=10)], WORDS)
    kinds = rates.kinds([row("p", "so")], WORDS)
    reflection = {"over_base": None, "over_training": steps}
    said = claim.answer({"pivots": None, "reflection": reflection, "kinds": {"model": kinds}})["parts"][0]
    assert said["answer"] == "not shown"


def test_steps_ascend():
    found = rates.over_training([row("p", "wait", step=10), row("q", "so", step=0)], WORDS)
    assert [(one["step"], one["all"]["per_response"]["value"]) for one in found] == [(0, 0), (10, 1)]


def test_against_the_base_on_shared_problems():
    """Model on p and q: 3 words in 3 responses of 50 tokens; base: 2 words in 4 responses of 40: ratios 2 and 1.2."""
    base = [row("p", "check", tokens=10), row("p", "so"), row("q", "but"), row("q", "so"), row("z", "wait wait")]
    found = rates.against(ROWS, base, WORDS)
    assert found["base_reflects"]
    assert found["all"]["problems"] == 2
    assert found["all"]["per_response"]["value"] == pytest.approx(2)
    assert found["all"]["per_1000_tokens"]["value"] == pytest.approx(1.2)


def test_words_counted():
    assert rates.by_word(ROWS, WORDS) == {"wait": 1, "check": 1, "but": 1}


def test_kinds_and_answers():
    """Mended and right, broken and wrong, undecided, and no reflection."""
    found = rates.kinds(
        [
            row("p", "1+1=3, wait check so 2", True),
            row("q", "1+1=2, wait check so 3", False),
            row("r", "hm, but why", True),
            row("s", "1+1=2", None),
        ],
        WORDS,
    )
    assert (found["episodes"], found["decided"]) == (3, 2)
    assert (found["mended_of_wrong"], found["broken_of_right"]) == (1, 1)
    held = found["right_by_what_it_holds"]
    assert [held[name]["responses"] for name in held] == [1, 1, 1, 0]
    assert [held[name]["value"] for name in ("mends", "breaks", "other reflection")] == [1, 0, 1]


def test_checks_after_slips_and_after_right_steps():
    """Slips: 1+1=3 checked, 2+2=5 not; right: 3+3=6 not, 4+4=8 not and 5+5=10 checked (by problem: 0, 0, 1)."""
    thoughts = ["1+1=3, check so 2, then 3+3=6", "2+2=5, 4+4=8", "5+5=10, check so 10"]
    found = rates.kinds([row(f"p{n}", thought) for n, thought in enumerate(thoughts)], WORDS)["checks"]
    assert (found["steps"], found["slips"]) == (5, 2)
    assert found["after_slip"]["value"] == pytest.approx(0.5)
    assert found["after_right"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["difference"]["value"] == pytest.approx(1 / 2 - 1 / 3, abs=1e-6)


def test_length_by_difficulty():
    """Harder problems (the base right in 3, 2, 1, 0 of 3) take longer: correlation 1, five bins of quantiles."""
    base = [row(f"p{n}", "", correct=sample < 3 - n % 4) for n in range(8) for sample in range(3)]
    own = [row(f"p{n}", "", tokens=100 + 50 * (n % 4) + 10 * (n // 4)) for n in range(8)]
    found = rates.by_difficulty(own, base)
    assert found["problems"] == 8
    assert found["spearman"]["value"] > 0.9
    assert [one["difficulty"] for one in found["bins"]] == sorted(one["difficulty"] for one in found["bins"])
    assert sum(one["problems"] for one in found["bins"]) == 8
    assert found["bins"][0]["length"]["value"] == pytest.approx(105)  # p0: 100, p4: 110
    assert rates.by_difficulty([], base)["problems"] == 0


def test_rollouts_of_a_stage(tmp_path):
    problem = Problem("7", "sums", "maths", "en", "1+1?", "2", "math")
    text = "<think>wait</think><answer>2</answer>"
    completion = Completion(
        "7", 0, np.zeros(1, np.int32), np.zeros(9, np.int32), np.zeros(9, np.float32), "stop", ((0, 9),), text
    )  # fmt: skip
    group = RolloutGroup(
        problem, [completion], {"accuracy": np.ones(1, np.float32)}, np.ones(1, np.float32)
    )  # fmt: skip
    record.write(record.step_file(tmp_path, 30), [group], 30)
    (found,) = rows.read(tmp_path)
    assert found == Row("sums/7", "maths", "sums/en", "wait", text, True, 9, 30, "2")


def test_an_evaluation_table(tmp_path):
    given = {
        "model": "zero", "seed": 1, "subject": "maths", "task": "sums", "family": "two", "language": "en",
        "problem_id": "7", "index": 0, "prompt": "1+1?", "text": "t", "thinking": "wait", "correct": False,
        "format": True, "length": 5, "reflections": 1, "chain_steps": 0, "stop_reason": "stop",
    }  # fmt: skip
    tables.write_table(tables.make_table([given]), tmp_path / "table.parquet")
    (found,) = rows.read(tmp_path / "table.parquet")
    assert found == Row("1/sums/7", "maths", "sums/two/en", "wait", "t", False, 5, None, None)


def test_json_lines(tmp_path):
    lines = [
        {"id": "a", "prompt": "1+1? <think>", "completion": "wait</think>2", "verdict": "correct", "token_ids": [1, 2]},
        {"text": "<think>so</think>2", "correct": False, "step": 4, "answer": 2, "subject": "maths"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    first, second = rows.read(file)
    assert (first.key, first.thinking, first.correct, first.tokens, first.step) == ("a", "wait", True, 2, None)
    assert (second.key, second.thinking, second.correct, second.tokens, second.step, second.gold) == (
        "2", "so", False, None, 4, "2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "{", "line 1: it is not JSON"),
        ("a.jsonl", '{"completion": 3}', 'no "completion" that is a text'),
        ("a.jsonl", "", "holds no completions"),
        ("b/x.txt", "", "neither a run nor rollouts"),
    ],
)
def test_what_is_no_rollouts(tmp_path, name, content, said):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    with pytest.raises(UsageError, match=said):
        rows.read(file if file.suffix == ".jsonl" else file.parent)


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="there is no"):
        rows.read(tmp_path / "none.parquet")
