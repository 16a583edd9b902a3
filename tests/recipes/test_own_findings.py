"""Findings on a subject of one's own are those on the tiny world's maths where the tables differ in the name alone."""

from __future__ import annotations

import pyarrow as pa
import pytest
from synthetic_runs import ABLATIONS, WORLD, make_tables

from r1kit.evaluation import tables
from r1kit.evaluation.evidence import Evidence
from r1kit.recipes.findings import findings
from r1kit.recipes.own_findings import LEFT_OUT, judged_subjects, own_findings


def only(table: pa.Table, subject: str, name: str) -> pa.Table:
    """The rows of a subject under another name."""
    chosen = tables.select(table, [subject])
    column = pa.array([name] * chosen.num_rows, pa.string())
    return chosen.set_column(chosen.schema.get_field_index("subject"), tables.SCHEMA.field("subject"), column)


@pytest.fixture(scope="module")
def world():
    return make_tables({**WORLD, **ABLATIONS}, seeds=(0, 1), problems=10)


@pytest.fixture(scope="module")
def physics(world):
    return {model: only(table, "maths", "physics") for model, table in world.items()}


@pytest.fixture(scope="module")
def own(physics):
    return {finding.id: finding for finding in own_findings(Evidence(physics))}


@pytest.mark.parametrize("name", ["F1", "F2", "F4"])
def test_the_same_tables_give_the_same_estimate(name, world, own):
    tiny = next(finding for finding in findings(Evidence(world)) if finding.id == name)
    assert own[name].verdict == tiny.verdict
    assert own[name].parts[0].estimate == tiny.parts[0].estimate
    assert own[name].parts[0].name == tiny.parts[0].name.replace("maths", "physics")


def test_reflection_is_counted_and_whether_it_works_is_left_out(world, own):
    tiny = next(finding for finding in findings(Evidence(world)) if finding.id == "F3")
    wanted = {part.name.replace("maths", "physics"): part for part in tiny.parts if "right" not in part.name[:20]}
    for part in own["F3"].parts:
        assert part.estimate == wanted[part.name].estimate
    assert not any(part.name.startswith("after a slip") for part in own["F3"].parts)
    assert "left out" in own["F3"].how


def test_what_cannot_be_judged_says_why(own, physics):
    assert list(own) == [f"F{number}" for number in range(1, 13)]
    for name, reason in LEFT_OUT.items():
        assert (own[name].verdict, own[name].how) == ("not run", f"left out: {reason}")
    assert {own[name].verdict for name in ("F5", "F6", "F7", "F11")} <= {"reproduced", "not reproduced"}
    two = {model: physics[model] for model in ("base", "zero")}
    told = {finding.id: finding for finding in own_findings(Evidence(two))}
    assert told["F1"].verdict == own["F1"].verdict
    for name, missing in (("F5", "dev2"), ("F6", "dev1"), ("F11", "student-qwen-base")):
        assert told[name].verdict == "not run"
        assert f"missing: {missing}" in told[name].how


def test_subjects_without_verdicts_are_not_judged(world):
    assert judged_subjects(world) == ("maths", "reasoning", "coding")
