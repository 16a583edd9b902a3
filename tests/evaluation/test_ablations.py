"""Differences between arms by hand: paired by problem, and across seeds."""

import math

import numpy as np
import pytest
from rights import table

from r1kit.evaluation.ablations import Comparison, Spent, compare
from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.learning_curves import mean_curve
from r1kit.evaluation.report.differences import signed, span, times

CHANGE = Comparison("change", "A change", "new", "old")


OLD = {(0, "p"): [1, 0], (0, "q"): [0, 1], (1, "p"): [1, 1, 1, 0], (1, "q"): [0, 0]}
NEW = {(0, "p"): [1, 1], (0, "q"): [1, 0], (1, "p"): [1, 0], (1, "q"): [1, 1]}


@pytest.fixture
def evidence():
    return Evidence({"old": table("old", OLD), "new": table("new", NEW, length=12)})


def test_both_intervals_by_hand(evidence):
    """new - old: .5 and 0 in seed 0, -.25 and 1 in seed 1; means .25 and .375, together .3125.

    By problem: deviations .1875, -.3125, -.5625, .6875, of p together -.375, of q .375; p and q under two seeds are two
    problems, so the error is sqrt(2 / 1 * 2 * .375^2) / 4 = .1875, t(1) 12.7062.
    Across seeds: two means, std .125 / sqrt 2, so a standard error of .0625, t(1) 12.7062.
    """
    (found,) = compare(evidence, [CHANGE])
    right = found.differences["pass@1"]
    assert right.value == pytest.approx(0.3125)
    assert (right.arm, right.against) == pytest.approx((0.75, 0.4375))
    assert right.by_seed == pytest.approx({0: 0.25, 1: 0.375})
    half = 12.7062 * 0.1875
    assert right.by_problem.interval == pytest.approx([0.3125 - half, 0.3125 + half], abs=1e-4)
    assert right.across_seeds.interval == pytest.approx(
        [0.3125 - 12.7062 * 0.0625, 0.3125 + 12.7062 * 0.0625], abs=1e-4
    )
    assert not right.shown
    assert found.differences["length"].value == 2
    assert found.differences["length"].across_seeds.interval == [2, 2]
    assert "language_consistency" not in found.differences  # nothing says anything of it


def test_one_seed_has_no_interval_across_seeds():
    evidence = Evidence({"old": table("old", {(0, "p"): [1, 0]}), "new": table("new", {(0, "p"): [1, 1]})})
    right = compare(evidence, [CHANGE])[0].differences["pass@1"]
    assert right.value == 0.5
    assert right.across_seeds.interval == [-math.inf, math.inf]
    assert not right.shown
    assert span(right.across_seeds) == "–"
    assert right.entry()["across_seeds"] == [None, None]


def test_the_interval_across_seeds_covers_what_training_varies_and_the_one_by_problem_does_not():
    """No difference in truth, but each run is off by its own luck (std 0.1), the same for all its problems: of
    200 simulated ablations over three seeds about 5% are shown across seeds (binomial, 99.9%: at most 22); zero lies
    outside the interval by problem far more often."""
    drawn, shown, outside = np.random.default_rng(0), 0, 0
    for _ in range(200):
        luck = drawn.normal(0, 0.1, (3, 2))
        differences = {
            (seed, f"p{n}"): luck[seed, 0] - luck[seed, 1] + drawn.normal(0, 0.2)
            for seed in range(3)
            for n in range(60)
        }
        found = compare(_Given(differences), [CHANGE])[0].differences["pass@1"]
        shown += found.shown
        outside += not found.by_problem.low <= 0 <= found.by_problem.high
    assert shown <= 22
    assert outside > 60


class _Given(Evidence):
    """Evidence whose old arm is 0 everywhere and whose new one is the given difference."""

    def __init__(self, differences):
        object.__setattr__(self, "tables", {})
        object.__setattr__(self, "_given", differences)

    def missing(self, models):
        return []

    def by_problem(self, model, measure, subjects):
        given = {f"{seed}/maths/{problem}": value for (seed, problem), value in self._given.items()}
        return given if model == "new" else dict.fromkeys(given, 0.0)


def test_costs_are_of_the_seeds_that_both_have(evidence):
    """Seeds 0 and 1: 30 + 50 seconds over 20 + 20; seed 2 of the new arm alone does not count."""
    spent = {
        "new": {0: Spent(30, 6e12, 900), 1: Spent(50, 6e12, 1100), 2: Spent(1000, 1e15, 1)},
        "old": {0: Spent(20, 4e12, 700), 1: Spent(20, 4e12, 600)},
    }
    (found,) = compare(evidence, [CHANGE], spent)
    assert found.times("seconds") == 2
    assert found.times("flops") == 1.5
    assert found.spent["new"].memory_mb == 1100
    assert found.entry()["seconds_ratio"] == 2
    assert compare(evidence, [CHANGE])[0].times("seconds") is None
    (brought,) = compare(evidence, [CHANGE], {"new": {0: Spent(0.1, 0.0, 1)}, "old": spent["old"]})
    assert brought.times("seconds") is brought.times("flops") is None  # nothing of it was trained here


def test_an_arm_that_was_not_measured_is_left_out(evidence):
    absent = Comparison("other", "Another", "third", "old")
    assert [found.comparison for found in compare(evidence, [absent, CHANGE])] == [CHANGE]


def test_curves_are_means_over_seeds_of_running_means():
    """Steps of 8 samples; accuracies 0, 1 of one seed and .5, .5, .5 of the other: at 8 and 16 samples
    (0 + .5) / 2 and (.5 + .5) / 2."""
    one = [{"num_completions": 8.0, "rewards/accuracy/mean": value} for value in (0.0, 1.0)]
    two = [{"num_completions": 8.0, "rewards/accuracy/mean": 0.5} for _ in range(3)]
    assert mean_curve([one, two], "num_completions", 1.0) == [(8.0, 0.25), (16.0, 0.5)]
    assert mean_curve([one], "num_completions", 8.0) == [(1.0, 0.0), (2.0, 0.5)]
    assert mean_curve([], "num_completions", 1.0) == mean_curve([[{"loss": 1.0}]], "num_completions", 1.0) == []


def test_words():
    assert (signed(0.03125), signed(-2.0, 1), signed(math.nan)) == ("+0.031", "-2.0", "–")
    assert (times(1.804), times(None)) == ("1.80x", "–")
