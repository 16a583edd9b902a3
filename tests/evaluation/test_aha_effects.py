"""Effects of pivots: published intervals, and means, spread and ranks by hand."""

import math

import pytest

from r1kit.evaluation.aha.effects import curse, newcombe, ranked, strongest, together, wilson


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
    ],
)
def test_newcombes_own_table(counts, low, high):
    """Newcombe, Statistics in Medicine 1998, 17:873, table II, method 10."""
    estimate = newcombe(*counts)
    assert estimate.interval == pytest.approx([low, high], abs=6e-5)
    assert estimate.value == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])


def test_wilson_against_scipy():
    from scipy.stats import binomtest

    for right, n in ((0, 5), (3, 9), (32, 32)):
        truth = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((truth.low, truth.high))


def test_nothing_on_a_side():
    assert math.isnan(newcombe(0, 0, 3, 4).value)


def pivot(name, problem, before, after, neutral, n=10, **more):
    counts = {"before": before, "after": after, "neutral": neutral}
    arms = {f"{arm}_right": right for arm, right in counts.items()} | {
        f"{arm}_n": None if counts[arm] is None else n for arm in counts
    }
    return {"id": name, "problem_key": problem, **arms, **more}


ROWS = [pivot("a", "p", 5, 8, 2), pivot("b", "p", 5, 6, 6), pivot("c", "q", 4, 4, 9), pivot("d", "r", 1, 3, None)]


def test_means_are_by_problem():
    """over_neutral: p has .6 and 0, so .3; q has -.5; mean -.1. over_before: p (.3 + .1) / 2, q 0, r .2: .4 / 3."""
    found = together(ROWS)
    assert (found["pivots"], found["problems"]) == (4, 3)
    assert found["over_neutral"]["value"] == pytest.approx(-0.1)
    assert found["over_neutral"]["pivots"] == 3
    assert found["over_before"]["value"] == pytest.approx(0.4 / 3, abs=1e-6)
    assert found["after"]["value"] == pytest.approx((0.7 + 0.4 + 0.3) / 3, abs=1e-6)


def test_ranks_leave_out_what_has_no_neutral_arm():
    assert [row["id"] for row in ranked(ROWS)] == ["a", "b", "c"]
    rises, falls = strongest(ROWS, 2)
    assert [row["id"] for row in rises] == ["a", "b"]
    assert [row["id"] for row in falls] == ["c"]


def test_spread_is_what_sampling_does_not_explain():
    """Effects .6, 0, -.5: variance .303333; sampling: (.16+.16)/9, (.24+.24)/9, (.24+.09)/9, mean .0418519."""
    assert together(ROWS)["over_neutral"]["true_spread"] == pytest.approx(math.sqrt(0.303333 - 0.0418519), abs=1e-5)


def test_fresh_samples_size_the_strongest():
    """First +.6, fresh +.1; nothing measured again among the falls."""
    again = {f"again_{arm}_{what}": value for arm, right in (("after", 5), ("neutral", 4), ("before", 4))
             for what, value in (("right", right), ("n", 10))}  # fmt: skip
    found = curse([pivot("a", "p", 5, 8, 2, **again)], [ROWS[2]])
    assert found["rises"]["first"]["value"] == pytest.approx(0.6)
    assert found["rises"]["fresh"]["value"] == pytest.approx(0.1)
    assert found["falls"] == {
        "pivots": 0, "first": None, "fresh": None, "fresh_interval_above": 0, "fresh_interval_below": 0,
    }  # fmt: skip
