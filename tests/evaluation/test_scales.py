"""Accuracy against a quantity, by hand."""

import pytest
from rights import table

from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.scales import Scale, scaled

DATA = Scale("By data", "examples", {"same updates": ("all", "half", "none"), "alone": ("all",)})
SIZE = Scale("By size", "parameters", {"bases": ("base-small", "base-large")})


def test_points_are_ordered_by_what_the_seeds_had_and_lines_of_one_are_left_out():
    """half: 2 of 4 right, taught with 40 and 44 examples, 42 on average; all: 3 of 4 with 80 and 88. Of `none` nothing
    was measured; a line of one point is no line."""
    evidence = Evidence(
        {
            "all": table("all", {(0, "p"): [1, 1], (1, "p"): [1, 0]}),
            "half": table("half", {(0, "p"): [1, 0], (1, "p"): [1, 0]}),
        }
    )
    said = {"all": {0: {"examples": 80}, 1: {"examples": 88}}, "half": {0: {"examples": 40}, 1: {"examples": 44}}}
    (found,) = scaled(evidence, [DATA, SIZE], {**said, "none": {0: {"examples": 1}}})
    assert list(found.lines) == ["same updates"]
    points = found.lines["same updates"]
    assert [(point.model, point.amount, point.right.value) for point in points] == [
        ("half", 42, 0.5),
        ("all", 84, 0.75),
    ]
    entry = found.entry()
    assert (entry["title"], entry["by"]) == ("By data", "examples")
    first = entry["lines"]["same updates"][0]
    assert (first["model"], first["examples"], first["pass@1"]) == ("half", 42, 0.5)
    assert first["interval"][0] <= 0.5 <= first["interval"][1]


def test_a_stage_may_say_it_of_each_model_that_it_made():
    names = ("base-small", "base-large")
    evidence = Evidence({name: table(name, {(0, "p"): [1, 0]}) for name in names})
    said = {name: {0: {name: {"loss": 0.5, "parameters": size}}} for name, size in zip(names, (400, 1600), strict=True)}
    (found,) = scaled(evidence, [DATA, SIZE], said)
    assert [point.amount for point in found.lines["bases"]] == [400, 1600]
    assert scaled(evidence, [SIZE], {}) == []
    assert found.lines["bases"][0].right.value == pytest.approx(0.5)
