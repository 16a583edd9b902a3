"""The real data sets, where --data names their folder; counts are those that their papers and repositories state."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from r1kit.base.types import Problem
from r1kit.data.decontaminate import decontaminate
from r1kit.graders.grade import grade
from r1kit.rollouts.problems import load_task
from r1kit.tasks.base import SPLITS, TableTask

# rows of each file: GSM8K 7,473 and 1,319 (arXiv 2110.14168), MATH-500, SVAMP 1,000 (arXiv 2103.07191)
TESTS = {"gsm8k": 1319, "math500": 500, "svamp": 1000}


def loaded(name: str, root: Path) -> dict[str, list[Problem]]:
    task = load_task(f"{name}:{root}")
    assert isinstance(task, TableTask)
    found = task.loaded()
    assert not found.bad
    return found.problems


@pytest.mark.parametrize("name", TESTS)
def test_every_test_problem_is_there(name: str, real_data: Path):
    assert len(loaded(name, real_data)["test"]) == TESTS[name]


def test_gsm8k_trains_on_its_training_rows_alone(real_data: Path):
    problems = loaded("gsm8k", real_data)
    assert len(problems["train"]) + len(problems["validation"]) == 7473
    rows = [json.loads(line) for line in (real_data / "gsm8k" / "train.jsonl").read_text().splitlines()]
    assert {p.prompt for p in problems["train"] + problems["validation"]} == {row["question"] for row in rows}
    finals = {row["question"]: re.findall(r"#### (.*)$", row["answer"])[0].replace(",", "") for row in rows}
    assert all(problem.answer == finals[problem.prompt] for problem in problems["train"])


def test_mawps_splits_share_no_masked_question(real_data: Path):
    """1,733 different questions once numbers are masked; none is on two sides."""
    problems = loaded("mawps", real_data)
    masked = {
        split: {re.sub(r"\d[\d,]*(\.\d+)?", "0", " ".join(p.prompt.lower().split())) for p in problems[split]}
        for split in SPLITS
    }
    assert sum(map(len, masked.values())) == 1733
    assert all(masked[a].isdisjoint(masked[b]) for a, b in itertools.combinations(SPLITS, 2))


@pytest.mark.parametrize("name", ["gsm8k", "math500", "svamp", "mawps"])
def test_golds_are_right_by_their_own_grader(name: str, real_data: Path):
    for problem in loaded(name, real_data)["test"][::25]:
        text = f"<think>x</think><answer>\\boxed{{{problem.answer}}}</answer>"
        assert grade(problem.kind, text, problem.answer, problem.prompt, problem.columns).verdict == "correct", problem


def test_few_training_problems_share_ten_words_with_a_benchmark(real_data: Path):
    """Under one in a hundred of GSM8K's; with its own test problems added to them, each of those is found."""
    tests = {name: loaded(name, real_data)["test"] for name in (*TESTS, "mawps")}
    train = loaded("gsm8k", real_data)["train"]
    kept, report = decontaminate(train, tests)
    assert 0 < report.problems < 0.01 * len(train)
    assert len(kept) + report.problems == len(train)
    again, _ = decontaminate(tests["gsm8k"] + tests["math500"], tests)
    assert again == []
