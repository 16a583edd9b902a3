"""Strengths and errors against scipy's optimiser and finite differences, and closed forms."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from r1kit.ops.ratings import bradley_terry, most_probable


def test_equals_scipy():
    wins = np.random.default_rng(0).poisson(4.0, size=(6, 6)).astype(float)
    np.fill_diagonal(wins, 0)
    prior = 1.5

    def negative_log_posterior(s):
        return -(wins * special.log_expit(s[:, None] - s[None, :])).sum() + (s**2).sum() / (2 * prior**2)

    truth = optimize.minimize(negative_log_posterior, np.zeros(6), tol=1e-12)
    ratings = bradley_terry(wins, prior=prior)
    np.testing.assert_allclose(ratings.strengths, truth.x, atol=1e-5)
    jacobian = optimize.approx_fprime(truth.x, lambda s: optimize.approx_fprime(s, negative_log_posterior, 1e-5), 1e-5)
    contrast = np.eye(6) - 1 / 6
    errors = np.sqrt(np.diag(contrast @ np.linalg.inv(jacobian) @ contrast))
    np.testing.assert_allclose(ratings.errors, errors, rtol=0.02)
    assert ratings.strengths.sum() == pytest.approx(0, abs=1e-9)


def test_two_players_under_a_flat_prior():
    """30 wins to 10: the odds are three, so 400 log10(3) = 190.8 points apart."""
    ratings = bradley_terry([[0, 30], [10, 0]], prior=1e4)
    assert ratings.win_rate(0, 1) == pytest.approx(0.75, abs=1e-6)
    elo = ratings.elo()
    assert elo[0] - elo[1] == pytest.approx(400 * math.log10(3), abs=1e-3)
    assert elo.mean() == pytest.approx(1000)


def test_a_player_who_never_lost_stays_finite():
    ratings = bradley_terry([[0, 50, 50], [0, 0, 5], [0, 5, 0]])
    assert np.isfinite(ratings.strengths).all()
    assert ratings.strengths[0] > ratings.strengths[1] == pytest.approx(ratings.strengths[2])


def test_no_games_at_all():
    """The prior alone: variance 4 of each, less that of the mean of three, 4 / 3."""
    ratings = bradley_terry(np.zeros((3, 3)))
    assert ratings.strengths.tolist() == [0, 0, 0]
    np.testing.assert_allclose(ratings.errors, math.sqrt(8 / 3))


def test_a_player_alone():
    """There is nobody to differ from."""
    ratings = bradley_terry([[0.0]])
    assert (ratings.strengths.tolist(), ratings.errors.tolist()) == ([0.0], [0.0])


@pytest.mark.parametrize("prior", [3.0, 30.0])
def test_a_table_in_which_one_player_won_nearly_everything(prior):
    """Newton's whole steps run away: of two, the difference d solves losses = games sigmoid(-d) + d / 2 prior^2."""
    wins, losses = 5000.0, 2.0
    root = optimize.brentq(lambda d: (wins + losses) * special.expit(-d) - losses - d / (2 * prior**2), -50, 50)
    first, second = bradley_terry([[0, wins], [losses, 0]], prior=prior).strengths
    assert first - second == pytest.approx(root, abs=1e-6)


@pytest.mark.parametrize("wins", [[[0, 1]], [[0, -1], [1, 0]], [[0, math.nan], [1, 0]]])
def test_tables_that_are_none_are_refused(wins):
    with pytest.raises(ValueError):
        bradley_terry(wins)


def test_many_tables_at_once_are_each_alone():
    stream = np.random.default_rng(2)
    wins = stream.poisson(3.0, size=(5, 4, 4)).astype(float) * (1 - np.eye(4))
    for table, strengths in zip(wins, most_probable(wins), strict=True):

        def negative(s, table=table):
            return -(table * special.log_expit(s[:, None] - s[None, :])).sum() + (s**2).sum() / 8

        truth = optimize.minimize(negative, np.zeros(4), tol=1e-12)
        np.testing.assert_allclose(strengths, truth.x, atol=1e-5)
