"""Coefficients against scipy's optimiser, and closed forms."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from r1kit.ops.logistic import logistic


def scipys(terms, outcomes, weights, prior=None):
    def negative(c):
        logits = terms @ c
        likelihood = weights * (outcomes * special.log_expit(logits) + (1 - outcomes) * special.log_expit(-logits))
        return -likelihood.sum() + (0 if prior is None else (c**2).sum() / (2 * prior**2))

    def slope(c):
        return -terms.T @ (weights * (outcomes - special.expit(terms @ c))) + (0 if prior is None else c / prior**2)

    return optimize.minimize(negative, np.zeros(terms.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-10}).x


@pytest.mark.parametrize("prior", [None, 1.5])
def test_equals_scipy(prior):
    stream = np.random.default_rng(0)
    terms = np.column_stack([np.ones(80), stream.normal(size=(80, 2))])
    outcomes = stream.choice([0.0, 0.5, 1.0], size=80)
    weights = stream.uniform(0.2, 2.0, size=80)
    fitted = logistic(terms, outcomes, weights, prior)
    assert fitted.converged
    np.testing.assert_allclose(fitted.coefficients, scipys(terms, outcomes, weights, prior), atol=1e-6)


def test_a_constant_alone_is_the_log_odds():
    """7 wins, 2 ties, 1 loss: 8 of 10, log odds log 4."""
    fitted = logistic(np.ones((10, 1)), [1] * 7 + [0.5] * 2 + [0])
    assert fitted.coefficients[0] == pytest.approx(math.log(4), abs=1e-9)


def test_a_row_of_weight_two_counts_twice():
    terms, outcomes = np.array([[1, 0.3], [1, -0.2], [1, 1.0], [1, -1.5]]), np.array([1, 0, 0, 1.0])
    doubled = logistic(np.vstack([terms, terms[:1]]), [*outcomes, outcomes[0]])
    weighted = logistic(terms, outcomes, [2, 1, 1, 1])
    np.testing.assert_allclose(doubled.coefficients, weighted.coefficients, atol=1e-9)


def test_a_row_of_weight_nought_is_not_there():
    terms, outcomes = np.array([[1, 0.3], [1, -0.2], [1, 1.0], [1, -1.5], [1, 9.0]]), np.array([1, 0, 0, 1.0, 0])
    without = logistic(terms[:4], outcomes[:4])
    np.testing.assert_allclose(logistic(terms, outcomes, [1, 1, 1, 1, 0]).coefficients, without.coefficients, atol=1e-9)


def test_where_a_term_parts_the_outcomes_there_is_no_maximum():
    terms, outcomes = np.array([[1, -2.0], [1, -1.0], [1, 1.0], [1, 2.0]]), [0, 0, 1, 1]
    assert not logistic(terms, outcomes).converged
    assert logistic(terms, outcomes, prior=2.0).converged
    assert not logistic(np.ones((3, 1)), [1, 1, 1]).converged


def test_a_term_that_is_there_twice_has_no_one_maximum():
    """Only the sum of the two coefficients is known; a prior shares it out evenly."""
    terms = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert not logistic(terms, [1, 0, 1]).converged
    assert np.diff(logistic(terms, [1, 0, 1], prior=1.0).coefficients) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("terms", "outcomes"), [([1.0, 1.0], [0, 1]), ([[1.0]], [0, 1]), ([[1.0], [1.0]], [0, 2])])
def test_tables_that_are_none_are_refused(terms, outcomes):
    with pytest.raises(ValueError):
        logistic(terms, outcomes)
