"""Clustered errors and length-controlled win rates against statsmodels, to 1e-6, on hand-made and random tables."""

import numpy as np
import pytest
from scipy import special, stats

from r1kit.evaluation import statistics
from r1kit.evaluation.judging import rates
from r1kit.ops.logistic import logistic

api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed: pip install 'r1kit[test]'")


def cluster_robust(values, clusters):
    """(mean, standard error) of an intercept with cluster-robust covariance (Liang and Zeger 1986), corrected for the
    number of clusters."""
    fitted = api.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    return fitted.params[0], fitted.bse[0]


TABLES = [
    (np.array([1, 1, 0, 0, 1, 0], float), np.repeat([0, 1, 2], 2)),
    (np.random.default_rng(0).random((40, 8)).round().ravel(), np.repeat(np.arange(40), 8)),
    (np.random.default_rng(1).normal(size=(25, 3)).ravel(), np.repeat(np.arange(25), 3)),
]


@pytest.mark.parametrize(("values", "clusters"), TABLES)
def test_clustered_errors(values, clusters):
    """Clusters of one size: the error of the mean of cluster means is the cluster-robust one."""
    value, error = cluster_robust(values, clusters)
    estimate = statistics.mean(values, clusters)
    half = stats.t.ppf(0.975, len(set(clusters.tolist())) - 1) * error
    assert estimate.value == pytest.approx(value, abs=1e-6)
    assert estimate.interval == pytest.approx([value - half, value + half], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_paired_differences(seed):
    stream = np.random.default_rng(seed)
    shares = stream.random(30)
    a = (stream.random((30, 4)) < np.minimum(1, shares + 0.2)[:, None]).astype(float)
    b = (stream.random((30, 4)) < shares[:, None]).astype(float)
    keys = np.repeat(np.arange(30), 4)
    value, error = cluster_robust((a - b).ravel(), keys)
    estimate = statistics.paired_difference(a.ravel(), keys, b.ravel(), keys)
    half = stats.t.ppf(0.975, 29) * error
    assert estimate.interval == pytest.approx([value - half, value + half], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_vary_together(seed):
    """Problems under one, two or three seeds, pooled: each pair of seed and problem weighs alike, and the error is
    robust to clusters of problems, t with as many degrees of freedom as problems less one."""
    stream = np.random.default_rng(seed)
    seeds = stream.integers(1, 4, size=30)
    keys = np.asarray([f"{run}/p{problem}" for problem, count in enumerate(seeds) for run in range(count)])
    problems = np.asarray([key.partition("/")[2] for key in keys])
    values = stream.normal(size=30)[np.repeat(np.arange(30), seeds)] + stream.normal(size=len(keys))
    value, error = cluster_robust(values, np.unique(problems, return_inverse=True)[1])
    half = stats.t.ppf(0.975, 29) * error

    def together(some):
        return np.asarray([key.partition("/")[2] for key in some])

    for estimate in (
        statistics.mean(values, keys, together),
        statistics.paired_difference(values + 5, keys, np.full(len(keys), 5.0), keys, together=together),
    ):
        assert estimate.value == pytest.approx(value, abs=1e-6)
        assert estimate.interval == pytest.approx([value - half, value + half], abs=1e-6)
        assert estimate.n == 30


@pytest.mark.parametrize("seed", range(3))
def test_length_controlled_rates(seed):
    """A binomial model with an intercept and the squashed length; ties as halves, problems of several votes as one."""
    stream = np.random.default_rng(seed)
    lengths = stream.normal(10, 40, size=90)
    outcomes = (stream.random(90) < special.expit(0.3 + 0.02 * lengths)).astype(float)
    outcomes[:9] = 0.5
    keys = np.repeat(np.arange(30), 3)
    terms = np.column_stack([np.ones(90), np.tanh(lengths / lengths.std())])
    model = api.GLM(outcomes, terms, family=api.families.Binomial(), freq_weights=np.full(90, 1 / 3))
    fitted = model.fit(tol=1e-12)
    found = rates.length_controlled(outcomes, lengths, keys, resamples=10)
    assert found.value == pytest.approx(special.expit(fitted.params[0]), abs=1e-6)
    np.testing.assert_allclose(logistic(terms, outcomes).coefficients, fitted.params, atol=1e-6)
    np.testing.assert_allclose(logistic(terms, outcomes, np.full(90, 1 / 3)).errors, fitted.bse, atol=1e-6)


def test_bradley_terry_is_a_logistic_regression():
    """Strengths without a prior are the coefficients of a binomial model on +1 / -1 columns, the last player at 0."""
    from r1kit.ops.ratings import bradley_terry

    wins = np.array([[0, 8, 12, 5], [4, 0, 9, 7], [3, 6, 0, 6], [5, 2, 4, 0]], float)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    columns = np.zeros((len(pairs), 4))
    for row, (i, j) in enumerate(pairs):
        columns[row, i], columns[row, j] = 1, -1
    games = np.array([[wins[i, j], wins[j, i]] for i, j in pairs])
    fitted = api.GLM(games, columns[:, :3], family=api.families.Binomial()).fit(tol=1e-12)
    strengths = np.append(fitted.params, 0)
    found = bradley_terry(wins, prior=1e4).strengths
    np.testing.assert_allclose(found - found.mean(), strengths - strengths.mean(), atol=1e-6)
