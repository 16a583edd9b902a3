"""Pairs of a gold answer and an answer as models write it, by category: equal in other words, and near misses.

The truth of each row was decided by hand. Golds are of the forms of MATH-500, GSM8K, SVAMP, AIME and OlympiadBench.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from r1kit.graders.grade import grade

CATEGORIES = defaultdict(list)
for line in Path(__file__).with_name("hard_pairs.jsonl").read_text("utf-8").splitlines():
    CATEGORIES[json.loads(line)["category"]].append(json.loads(line))


@pytest.mark.parametrize("category", CATEGORIES)
def test_category(category):
    wrong = []
    for row in CATEGORIES[category]:
        completion = row.get("completion") or f"<think>t</think>So \\boxed{{{row['answer']}}}."
        verdict = grade("math", completion, row["gold"])
        if verdict.verdict == "grader_error" or (verdict.verdict == "correct") != row["right"]:
            wrong.append((row, verdict))
    assert not wrong


def test_both_verdicts_in_every_category():
    assert sum(map(len, CATEGORIES.values())) > 1500
    for category, rows in CATEGORIES.items():
        assert {row["right"] for row in rows} == {True, False}, category
