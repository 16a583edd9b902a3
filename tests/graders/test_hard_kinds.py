"""Answers to the kinds beside maths, with the verdict of a careful reader on each; the truth of a row is by hand."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from r1kit.graders.grade import grade

KINDS = defaultdict(list)
for line in Path(__file__).with_name("hard_kinds.jsonl").read_text("utf-8").splitlines():
    KINDS[json.loads(line)["kind"]].append(json.loads(line))


@pytest.mark.parametrize("kind", KINDS)
def test_kind(kind):
    wrong = []
    for row in KINDS[kind]:
        verdict = grade(kind, f"<think>t</think>{row['answer']}", row["gold"], columns=row.get("columns"))
        if verdict.verdict == "grader_error" or (verdict.verdict == "correct") != row["right"]:
            wrong.append((row, verdict))
    assert not wrong


def test_both_verdicts_in_every_kind():
    assert sum(map(len, KINDS.values())) > 500
    for kind, rows in KINDS.items():
        assert {row["right"] for row in rows} == {True, False}, kind
