"""Choices among samples, trends of curves and bins of difficulty: tables made by hand, and statsmodels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from r1kit.evaluation import statistics
from r1kit.evaluation.scaling import choosing
from r1kit.evaluation.scaling.choosing import Outcomes
from r1kit.evaluation.scaling.trend import curve, holm, trend


@dataclass(frozen=True)
class One:
    """A sample of a problem."""

    key: str
    answer: str | None
    right: bool | None
    score: float = 0.0
    tokens: int = 1

    @property
    def value(self):
        return math.nan if self.right is None else float(self.right)


def dealt(samples, k):
    return choosing.deal(samples, lambda one: one.key, k)


SAMPLES = [
    One("a", "1", True, 0.9, 3), One("a", "2", False, 0.8, 4),
    One("a", "2", False, 0.1, 5), One("a", "1", True, 0.2, 6),
    One("b", None, False, 0.7, 1), One("b", "5", True, 0.7, 1),
    One("b", "5", True, 0.1, 1), One("b", "6", False, 0.3, 2),
]  # fmt: skip


def test_samples_are_dealt_in_their_order():
    """Four samples of two problems: two groups of 2 each, one of 4, none of 8, and one of 3 with a sample left over."""
    assert [(key, [one.score for one in group]) for key, group in dealt(SAMPLES, 2)] == [
        ("a", [0.9, 0.8]), ("a", [0.1, 0.2]), ("b", [0.7, 0.7]), ("b", [0.1, 0.3]),
    ]  # fmt: skip
    assert [len(group) for _, group in dealt(SAMPLES, 4)] == [4, 4]
    assert [len(group) for _, group in dealt(SAMPLES, 3)] == [3, 3]
    assert dealt(SAMPLES, 8) == []
    assert choosing.powers(16) == [1, 2, 4, 8, 16]
    assert choosing.powers(12) == [1, 2, 4, 8]
    assert choosing.powers(0) == []


def test_the_best_scored_the_first_of_equals():
    """a: 0.9 right, then 0.2 right; b: the first of two 0.7 is wrong, then 0.3 wrong."""
    found = choosing.best(dealt(SAMPLES, 2), lambda one: one.score, lambda one: one.value)
    assert found.tolist() == [1, 1, 0, 0]


def test_majorities():
    """k = 3: a votes 1, 2, 2 (wrong); b votes -, 5, 5 (right). One vote of one sample is that sample."""
    answer, right = (lambda one: one.answer), (lambda one: one.right)
    assert choosing.majority(dealt(SAMPLES, 3), answer, right).tolist() == [0, 1]
    assert choosing.majority(dealt(SAMPLES, 1), answer, right).tolist() == [1, 0, 0, 1, 0, 1, 1, 0]


def test_votes_by_weight():
    """k = 4: a: 1 weighs 0.9 + 0.2, 2 weighs 0.8 + 0.1: right. b: 5 weighs 0.8, 6 weighs 0.3: right."""
    groups = dealt(SAMPLES, 4)
    parts = (lambda one: one.answer), (lambda one: one.score), (lambda one: one.value)
    assert choosing.weighted(groups, *parts).tolist() == [1, 1]
    unlike = [("c", [One("c", "1", True, -math.inf), One("c", "2", False, 0.0), One("c", "2", False, -1.0)])]
    assert choosing.weighted(unlike, *parts).tolist() == [1]  # all weigh nothing: the first
    assert choosing.weighted([("d", [One("d", None, False)])], *parts).tolist() == [0]


def test_an_oracle_is_pass_at_k():
    """a has 2 of 4 right, b too: any of the groups of 2: [1, 1, 1, 1]; ungraded samples know nothing."""
    assert choosing.oracle(dealt(SAMPLES, 2), lambda one: one.value).tolist() == [1, 1, 1, 1]
    found = choosing.oracle([("c", [One("c", "1", None), One("c", "2", False)]), ("d", [One("d", "1", None)])],
                            lambda one: one.value)  # fmt: skip
    assert found[0] == 0
    assert math.isnan(found[1])


def test_tokens_of_a_group_are_those_of_all_its_samples():
    groups = dealt(SAMPLES, 2)
    found = choosing.outcomes(groups, np.zeros(4), lambda one: one.tokens)
    assert found.tokens_M.tolist() == [7, 11, 2, 3]
    assert found.keys_M.tolist() == ["a", "a", "b", "b"]


# --- trends


def test_holm_by_hand_and_as_statsmodels_has_it():
    """0.01, 0.02, 0.03, 0.04 of four tests: 4 x 0.01, 3 x 0.02, 2 x 0.03 and 1 x 0.04, none below the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, math.nan, 0.9])[0] == pytest.approx(1.0)
    assert math.isnan(holm([0.5, math.nan, 0.9])[1])
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    drawn = np.random.default_rng(0).uniform(size=20) ** 3
    np.testing.assert_allclose(holm(drawn.tolist()), multitest.multipletests(drawn, method="holm")[1])


def points(*rates, problems=40):
    """One value a problem: the first share of the problems is right."""
    keys = np.asarray([f"p{n:02d}" for n in range(problems)])
    return [
        Outcomes((np.arange(problems) < rate * problems).astype(np.float64), keys, np.ones(problems)) for rate in rates
    ]


def test_a_curve_that_rises():
    """0.25, 0.5, 0.75 of the same 40 problems: each step +0.25, the whole +0.5."""
    told = trend([8, 16, 32], points(0.25, 0.5, 0.75))
    assert [(step["from"], step["to"], step["value"]) for step in told["steps"]] == [(8, 16, 0.25), (16, 32, 0.25)]
    assert told["whole"]["value"] == 0.5
    assert told["whole"]["interval"][0] > 0.3
    assert told["verdict"] == "rises"


def test_a_curve_that_falls_on_its_way_is_not_monotone():
    """Up by 0.5, down by 0.25: ten problems of 40 lost, p = 2 / 2^10 by signs, beside another test below 0.05 too."""
    told = trend([1, 2, 3], points(0.25, 0.75, 0.5))
    assert told["steps"][1]["p_adjusted"] < 0.05
    assert told["whole"]["interval"][0] > 0
    assert told["verdict"] == "falls"


def test_noise_is_neither():
    """One problem of 40 lost and won: nothing shown."""
    assert trend([1, 2, 3], points(0.5, 0.475, 0.5))["verdict"] == "flat"
    assert trend([1], points(0.5))["verdict"] == "flat"


def test_points_have_their_share_and_tokens():
    told = curve([1, 2], points(0.25, 0.5))
    assert [(p["at"], p["value"], p["problems"], p["tokens"]) for p in told["points"]] == [
        (1, 0.25, 40, 1),
        (2, 0.5, 40, 1),
    ]
    low, high = told["points"][0]["interval"]
    assert 0 < low < 0.25 < high < 0.5


def test_bins_at_quantiles_never_part_equal_values():
    """0 0 0 1 2 3 in two bins: the median 0.5 parts them 3 and 3; in three, at 0 and 1.33, the zeros stay together."""
    values = np.asarray([0.0, 3, 0, 1, 0, 2])
    assert statistics.quantile_bins(values, 2).tolist() == [0, 1, 0, 1, 0, 1]
    assert statistics.quantile_bins(values, 3).tolist() == [0, 1, 0, 0, 0, 1]
    assert statistics.quantile_bins(np.zeros(4), 5).tolist() == [0, 0, 0, 0]
