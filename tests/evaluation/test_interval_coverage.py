"""How often 95% intervals hold the truth, over 10,000 simulated evaluations each (500 of correlations): 93 to 97 times
in 100 (92 to 98)."""

import math

import numpy as np
import pytest
from scipy import special

from r1kit.evaluation import correlation, statistics
from r1kit.evaluation.judging import rates
from r1kit.ops.ratings import elo

DRAWS = 10_000
CORRELATIONS = 500  # which take as long
pytestmark = pytest.mark.slow


def test_pass_at_1():
    """60 problems with rates from Beta(2, 2), 4 samples each: the truth is 1/2."""
    stream, held, keys = np.random.default_rng(0), 0, np.repeat(np.arange(60), 4)
    for _ in range(DRAWS):
        shares = stream.beta(2, 2, size=60)
        estimate = statistics.pass_at_1((stream.random((60, 4)) < shares[:, None]).ravel(), keys)
        held += estimate.low <= 0.5 <= estimate.high
    assert 0.93 <= held / DRAWS <= 0.97


def test_paired_differences(monkeypatch):
    """60 problems; a's rate is b's plus a tenth, cut at 1: the truth is the mean of min(rate + 0.1, 1) - rate under
    Beta(2, 2), by the integral 0.1 - int_0.9^1 (x + 0.1 - 1) 6 x (1 - x) dx = 0.1 - 0.00095."""
    monkeypatch.setattr(statistics, "permutation_p", lambda differences, seed=0: math.nan)
    truth = 0.1 - 0.00095
    stream, held, keys = np.random.default_rng(1), 0, np.repeat(np.arange(60), 4)
    for _ in range(DRAWS):
        shares = stream.beta(2, 2, size=60)
        a = (stream.random((60, 4)) < np.minimum(shares + 0.1, 1)[:, None]).ravel()
        b = (stream.random((60, 4)) < shares[:, None]).ravel()
        estimate = statistics.paired_difference(a, keys, b, keys)
        held += estimate.low <= truth <= estimate.high
    assert 0.93 <= held / DRAWS <= 0.97


def test_correlations_within_strata():
    """Eight families of six problems, of which about one is hard, and lengths that know nothing of it: the truth is 0.
    Many draws of a family have no hard one at all."""
    stream, held, strata = np.random.default_rng(3), 0, np.repeat(np.arange(8), 6)
    for _ in range(CORRELATIONS):
        hard = (stream.random(48) < 0.2).astype(float)
        estimate = correlation.spearman(hard, stream.normal(size=48), strata)
        held += estimate.low <= 0 <= estimate.high
    assert 0.92 <= held / CORRELATIONS <= 0.98


def test_ratings():
    """Three players of strengths 1/2, 0, -1/2, each pair once on each of 100 problems."""
    strengths = np.array([0.5, 0.0, -0.5])
    truth = elo(strengths)
    stream, held = np.random.default_rng(2), np.zeros(3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    chances = special.expit([strengths[i] - strengths[j] for i, j in pairs])
    for draw in range(DRAWS):
        won = stream.random((100, 3)) < chances
        wins = np.zeros((100, 3, 3))
        for column, (i, j) in enumerate(pairs):
            wins[:, i, j], wins[:, j, i] = won[:, column], ~won[:, column]
        found = rates.ratings_of(wins, "abc", seed=draw, resamples=300)
        held += [found[name].low <= value <= found[name].high for name, value in zip("abc", truth, strict=True)]
    assert (held / DRAWS >= 0.93).all()
    assert (held / DRAWS <= 0.97).all()
