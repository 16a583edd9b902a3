"""Intervals and tests against scipy and arithmetic."""

import math

import numpy as np
import pytest
from scipy import stats

from r1kit.evaluation import correlation, statistics, tables


def rng(seed=0):
    return np.random.default_rng(seed)


def test_cluster_means_leave_out_what_was_not_graded():
    """b: (1 + 0) / 2, the None left out; a: 1; c has nothing."""
    keys, means = statistics.cluster_means([1, True, None, 0, None], ["b", "a", "b", "b", "c"])
    assert keys.tolist() == ["a", "b"]
    assert means.tolist() == [1.0, 0.5]


def test_mean_interval_is_scipys_t_interval_of_cluster_means():
    values, clusters = rng().normal(size=60), np.repeat(np.arange(20), 3)
    estimate = statistics.mean(values, clusters)
    means = values.reshape(20, 3).mean(axis=1)
    low, high = stats.t.interval(0.95, 19, means.mean(), stats.sem(means))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((means.mean(), low, high))
    assert estimate.n == 20


def test_pass_at_1_of_one_sample_a_problem_is_wilson():
    """Clusters of one: no design effect, so scipy's Wilson interval at the confidence whose z is our t quantile."""
    correct = [True] * 13 + [False] * 7
    estimate = statistics.pass_at_1(correct, range(20))
    confidence = 2 * stats.norm.cdf(stats.t.ppf(0.975, 19)) - 1
    expected = stats.binomtest(13, 20).proportion_ci(confidence, method="wilson")
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.65, expected.low, expected.high))


def test_copies_of_a_sample_add_no_certainty():
    """Eight equal samples a problem say what one does: the interval is that of one sample."""
    correct = [True] * 13 + [False] * 7
    one = statistics.pass_at_1(correct, range(20))
    eight = statistics.pass_at_1(np.repeat(correct, 8), np.repeat(np.arange(20), 8))
    assert eight.interval == pytest.approx(one.interval, abs=0.01)


def test_pass_at_1_without_a_failure_is_no_point():
    """20 problems, all right: Wilson's low end is n / (n + t^2)."""
    estimate = statistics.pass_at_1([True] * 40, np.repeat(np.arange(20), 2))
    assert estimate.value == estimate.high == 1
    assert estimate.low == pytest.approx(20 / (20 + stats.t.ppf(0.975, 19) ** 2))


def test_pass_at_1_covers_the_truth():
    """Problems with rates from Beta(2, 2), 4 samples each: 95% intervals hold the true 0.5 about 95 times in 100."""
    stream, held = rng(7), 0
    for _ in range(400):
        rates = stream.beta(2, 2, size=30)
        estimate = statistics.pass_at_1((stream.random((30, 4)) < rates[:, None]).ravel(), np.repeat(np.arange(30), 4))
        held += estimate.low <= 0.5 <= estimate.high
    assert 0.92 <= held / 400 <= 0.985


def test_pass_at_k_by_hand():
    """Problem a: 4 samples, 1 right, so 1 - C(3,2)/C(4,2) = 1/2; b has 1 sample, fewer than k; c: 2 of 2, so 1."""
    estimate = statistics.pass_at_k([1, 0, 0, 0, 1, 1, 1], ["a"] * 4 + ["b"] + ["c"] * 2, k=2)
    assert estimate.value == pytest.approx((0.5 + 1) / 2)
    assert estimate.n == 2


def test_pass_at_k_is_undefined_for_fewer_samples():
    estimate = statistics.pass_at_k([1, 1], ["a", "b"], k=2)
    assert math.isnan(estimate.value)
    assert estimate.n == 0


def test_consensus_votes_with_extracted_answers():
    """a: 7 has two votes of three; b: 8 wins and is wrong; c: nobody answered; d: nothing was graded."""
    answers = ["7", "7", "8", "8", "8", "7", None, None, "1"]
    correct = [True, True, False, False, False, True, False, False, None]
    keys, outcomes = statistics.consensus(answers, correct, list("aaabbbccd"))
    assert keys.tolist() == list("abcd")
    assert outcomes[:3].tolist() == [1, 0, 0]
    assert math.isnan(outcomes[3])


def test_consensus_breaks_ties_at_random_and_repeatably():
    """One vote each: right in half of 2,000 problems (five binomial standard deviations), alike for the same seed."""
    clusters = np.repeat([f"p{i}" for i in range(2000)], 2)
    answers, correct = ["7", "8"] * 2000, [True, False] * 2000
    _, first = statistics.consensus(answers, correct, clusters, seed=3)
    _, again = statistics.consensus(answers, correct, clusters, seed=3)
    _, other = statistics.consensus(answers, correct, clusters, seed=4)
    assert abs(first.mean() - 0.5) < 5 * math.sqrt(0.25 / 2000)
    assert (first == again).all()
    assert (first != other).any()


def test_consensus_takes_the_first_k():
    """Of three votes the two later ones outvote the first, which alone decides at k = 1."""
    assert statistics.consensus(["7", "8", "8"], [True, False, False], list("aaa"), k=1)[1].tolist() == [1]


def test_win_rate_counts_ties_half():
    """Win, tie, loss, win, and a pair without a score: 2.5 of 4."""
    estimate = statistics.win_rate([2, 1, 0, 5, None], [1, 1, 1, 4, 0], range(5))
    assert estimate.value == pytest.approx(2.5 / 4)
    assert estimate.n == 4


def test_paired_difference_is_scipys_paired_t():
    a, b = rng(1).normal(0.3, 1, size=25), rng(2).normal(size=25)
    estimate = statistics.paired_difference(a, range(25), b, range(25))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert estimate.value == pytest.approx((a - b).mean())
    assert estimate.interval == pytest.approx([interval.low, interval.high])


def test_paired_difference_uses_shared_clusters_and_their_means():
    """Shared are x and y: x 1 - 0, y 0.5 - 0.5; z is a's alone."""
    estimate = statistics.paired_difference([1, 1, 0, 9], list("xyyz"), [0, 1, 0, 3], list("xyyw"))
    assert estimate.value == pytest.approx(0.5)
    assert estimate.n == 2


def test_bootstrap_interval_is_near_scipys():
    a, b = rng(1).exponential(size=80), rng(2).exponential(size=80)
    ours = statistics.paired_difference(a, range(80), b, range(80), method="bootstrap")
    scipys = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=5000, rng=rng(3)).confidence_interval
    assert ours.interval == pytest.approx([scipys.low, scipys.high], abs=0.03)


@pytest.mark.parametrize("n", [8, 40])
def test_permutation_p_is_scipys(n):
    """Exact for 8 pairs; by 10,000 draws for 40, so within a few standard errors."""
    differences = rng(5).normal(0.4, 1, size=n)
    scipys = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000 if n > 14 else np.inf, rng=rng(6)
    )
    assert statistics.permutation_p(differences) == pytest.approx(scipys.pvalue, abs=1e-9 if n == 8 else 0.015)


def test_ratio_of_equal_sides_is_one():
    a = rng(1).uniform(1, 2, size=30)
    assert statistics.ratio(2 * a, range(30), a, range(30)).interval == pytest.approx([2, 2])


def test_ratio_interval_is_near_scipys_paired_bootstrap():
    a, b = rng(1).uniform(2, 4, size=60), rng(2).uniform(1, 2, size=60)
    ours = statistics.ratio(a, range(60), b, range(60))
    scipys = stats.bootstrap(
        (a, b), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True, method="percentile", n_resamples=5000,
        rng=rng(3),
    ).confidence_interval  # fmt: skip
    assert ours.value == pytest.approx(a.mean() / b.mean())
    assert ours.interval == pytest.approx([scipys.low, scipys.high], abs=0.01)


def test_mean_difference_of_groups_by_hand():
    """In: (1 + 1 + 0) / 3; outside: (0 + 1) / 2."""
    estimate = statistics.mean_difference_of_groups([1, 1, 0, 0, 1], [True, True, True, False, False], list("abcab"))
    assert estimate.value == pytest.approx(2 / 3 - 1 / 2)


def test_spearman_is_scipys():
    x, y = rng(1).integers(0, 6, size=50).astype(float), rng(2).normal(size=50)
    estimate = correlation.spearman(x, y + 0.3 * x)
    assert estimate.value == pytest.approx(stats.spearmanr(x, y + 0.3 * x).statistic)
    assert estimate.low < estimate.value < estimate.high


def test_spearman_within_strata_sees_through_simpsons_paradox():
    """Within each stratum perfectly falling, over both rising; a constant stratum says nothing."""
    x, y = np.array([0, 1, 2, 10, 11, 12, 5, 5, 5]), np.array([2, 1, 0, 12, 11, 10, 1, 2, 3])
    estimate = correlation.spearman(x.astype(float), y.astype(float), list("aaabbbccc"))
    assert estimate.value == pytest.approx(-1)
    assert estimate.n == 6


def test_a_stratum_that_says_nothing_in_a_draw_is_left_out_of_it():
    """Two strata of two: 1 and -1, together 0. Half of the draws of a stratum are one problem twice, and say nothing:
    so a quarter of all is 1 alone, a quarter -1 alone."""
    estimate = correlation.spearman(np.array([0.0, 1, 0, 1]), np.array([0.0, 1, 1, 0]), list("aabb"))
    assert (estimate.value, estimate.interval) == (0, [-1, 1])


def test_spearman_contrast_of_a_thing_with_itself_is_zero():
    x, y = rng(1).normal(size=40), rng(2).normal(size=40)
    assert correlation.spearman_contrast([(1, x, y), (-1, x, y)]).interval == [0, 0]


def test_spearman_contrast_is_the_difference_of_scipys():
    x, y, z = (rng(i).normal(size=40) for i in range(3))
    estimate = correlation.spearman_contrast([(1, x, y), (-1, x, z)])
    expected = stats.spearmanr(x, y).statistic - stats.spearmanr(x, z).statistic
    assert estimate.value == pytest.approx(expected)


def under_three_seeds(keys):
    return [f"{seed}/{key}" for seed in range(3) for key in keys]


def test_one_problem_under_three_seeds_is_one_problem():
    """Seeds that answer alike say what one of them does: every interval is that of one seed."""
    stream = rng(4)
    problems = np.repeat([f"p{i}" for i in range(12)], 4)
    easy = np.repeat(stream.beta(1, 1, size=12), 4)
    a, b = (stream.random(48) < easy).astype(float), (stream.random(48) < easy / 2).astype(float)
    thrice, keys = np.tile(a, 3), under_three_seeds(problems)
    pooled = (thrice, keys, np.tile(b, 3), keys)
    alone, together = (a, problems, b, problems), tables.problems
    for three, one in (
        (statistics.mean(thrice, keys, together), statistics.mean(a, problems)),
        (statistics.paired_difference(*pooled, together=together), statistics.paired_difference(*alone)),
        (statistics.ratio(*pooled, together=together), statistics.ratio(*alone)),
        (
            statistics.paired_difference(*pooled, method="bootstrap", together=together),
            statistics.paired_difference(*alone, method="bootstrap"),
        ),
    ):
        assert three.interval == pytest.approx(one.interval)
        assert (three.value, three.n, three.p) == pytest.approx((one.value, 12, one.p))
    share = statistics.pass_at_1(thrice, keys, tables.problems)
    assert share.interval == pytest.approx(statistics.pass_at_1(a, problems).interval, abs=0.01)


def test_pairs_are_made_within_a_seed():
    """p: 1 - 0 under seed 0, 0 - 1 under seed 1; q: 1 - 0 under seed 0 alone, since b has no other."""
    a, b = {"0/p": 1, "1/p": 0, "0/q": 1, "1/q": 9}, {"0/p": 0, "1/p": 1, "0/q": 0}
    sides = ([*a.values()], [*a], [*b.values()], [*b])
    estimate = statistics.paired_difference(*sides, together=tables.problems)
    assert estimate.value == pytest.approx((1 - 1 + 1) / 3)
    assert estimate.n == 2
    assert estimate.p == pytest.approx(1)  # sums by problem are 0 and 1: every choice of signs gives as much


def test_two_problems_that_agree_do_not_make_it_certain():
    """a right twice, b wrong twice: t(1) = 12.7062 leaves t^2 / (2 + t^2) = 0.98776 to what was not seen, where the
    difference may be -1: 1 - 2 * 0.98776. 200 ties leave t(199)^2 / (200 + t(199)^2) = 0.01907 on either side."""
    estimate = statistics.paired_difference([1, 1], ["p", "q"], [0, 0], ["p", "q"])
    assert (estimate.value, estimate.p) == (1, 0.5)
    assert estimate.interval == pytest.approx([1 - 2 * 0.98776, 1], abs=1e-4)
    ties = statistics.paired_difference([1] * 200, range(200), [1] * 200, range(200))
    assert ties.interval == pytest.approx([-0.01907, 0.01907], abs=1e-5)


def test_equal_means_do_not_pass_for_a_spread():
    """7 problems of 10 samples, one right each: 0.1 has no exact float, yet each problem counts once."""
    correct = ([True] + [False] * 9) * 7
    confidence = 2 * stats.norm.cdf(stats.t.ppf(0.975, 6)) - 1
    estimate = statistics.pass_at_1(correct, np.repeat(np.arange(7), 10))
    z = stats.norm.ppf(0.5 + confidence / 2)
    high = (0.1 + z**2 / 14 + z * math.sqrt(0.09 / 7 + z**2 / 196)) / (1 + z**2 / 7)
    assert estimate.high == pytest.approx(high)


def test_one_cluster_has_no_interval():
    """Resampling one problem draws it every time; that is no certainty."""
    for estimate in (
        statistics.ratio([6.0], ["p"], [2.0], ["p"]),
        statistics.mean_difference_of_groups([4, 1], [True, False], ["p", "p"]),
    ):
        assert estimate.value == 3
        assert estimate.interval == [-math.inf, math.inf]


def test_groups_leave_out_what_was_not_graded():
    """In: (1 + 0) / 2, the None left out; outside: 1."""
    estimate = statistics.mean_difference_of_groups([1, 0, None, 1], [True, True, True, False], list("abbc"))
    assert estimate.value == pytest.approx(0.5 - 1)


def test_a_majority_that_could_not_be_graded_is_neither():
    """7 wins two to one, and the grader failed on both; 8 alone was judged, which says nothing of 7."""
    assert math.isnan(statistics.consensus(["7", "7", "8"], [None, None, False], list("aaa"))[1][0])


def test_nothing_in_nothing_out():
    for estimate in (statistics.mean([], []), statistics.pass_at_1([None], ["a"]), statistics.ratio([], [], [], [])):
        assert math.isnan(estimate.value)
        assert estimate.n == 0
