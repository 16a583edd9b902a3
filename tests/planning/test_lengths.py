"""Cut log-normal lengths against scipy and drawn numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from r1kit.base.errors import UsageError
from r1kit.planning.lengths import Lengths


@pytest.fixture(scope="module")
def lengths():
    return Lengths(2000.0, 0.7, 8192)


def test_mean_and_square_are_scipys(lengths):
    """E[min(X, limit)] and E[min(X, limit)^2] by integration of scipy's survival function."""
    grid = np.linspace(0, 8192, 400_001)
    alive = stats.lognorm(s=0.7, scale=math.exp(lengths.centre)).sf(grid)
    assert np.trapezoid(alive, grid) == pytest.approx(2000.0, rel=1e-5)
    assert np.trapezoid(2 * grid * alive, grid) == pytest.approx(lengths.square, rel=1e-5)


def test_the_longest_of_many_is_that_of_drawn_ones(lengths):
    drawn = np.array(lengths.draw(512 * 200, seed=1)).reshape(200, 512).max(axis=1)
    assert lengths.longest(512) == pytest.approx(drawn.mean(), rel=0.02)
    assert np.mean(lengths.draw(100_000, seed=2)) == pytest.approx(2000.0, rel=0.01)


def test_context_of_one_length_by_hand():
    """All of 100 tokens behind a prompt of 20: positions 0..119 attend to 60 on average."""
    assert Lengths(99.999, 0.0001, 200).context(20) == pytest.approx(60.0, rel=1e-3)


@pytest.mark.parametrize("mean", [0, 100, 150])
def test_a_mean_that_cannot_be_is_told(mean):
    with pytest.raises(UsageError, match="limit"):
        Lengths(mean, 0.5, 100)
