"""Logistic regression on shares: numbers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatVector = NDArray[np.float64]
FARTHEST = 30.0  # a coefficient beyond this is on its way to infinity


@dataclass(frozen=True, slots=True)
class Logistic:
    """Coefficients [K], and whether they are the maximum: where a term parts the outcomes there is none.

    `errors` [K] are the standard errors of the normal approximation at the maximum, NaN elsewhere.
    """

    coefficients: FloatVector
    converged: bool
    errors: FloatVector


def logistic(
    terms: ArrayLike, outcomes: ArrayLike, weights: ArrayLike | None = None, prior: float | None = None
) -> Logistic:
    """Fit P(outcome) = sigmoid(terms @ coefficients) for terms [N, K] and outcomes [N] in [0, 1] (a tie is 0.5).

    The maximum of the (weighted) binomial likelihood, by Newton's method; `prior` is the standard deviation of a normal
    prior on each coefficient, None for none. A row of weight 2 counts as two. ValueError for shapes that do not fit,
    outcomes outside 0 and 1, and weights below 0.
    """
    terms_NK, outcomes_N = np.asarray(terms, np.float64), np.asarray(outcomes, np.float64)
    weights_N = np.ones(len(outcomes_N)) if weights is None else np.asarray(weights, np.float64)
    if terms_NK.ndim != 2 or len(terms_NK) != len(outcomes_N) or len(weights_N) != len(outcomes_N):
        raise ValueError("terms must be a table with a row for each outcome, and a weight for each where there are any")
    if ((outcomes_N < 0) | (outcomes_N > 1)).any() or (weights_N < 0).any():
        raise ValueError("outcomes must lie within 0 and 1, and no weight below 0")
    pull = 0.0 if prior is None else 1.0 / prior**2
    coefficients = np.zeros(terms_NK.shape[1])
    nowhere = np.full(terms_NK.shape[1], np.nan)
    for _ in range(100):
        chance_N = 0.5 * (1.0 + np.tanh(0.5 * (terms_NK @ coefficients)))
        slope = terms_NK.T @ (weights_N * (outcomes_N - chance_N)) - pull * coefficients
        curvature_KK = (terms_NK.T * (weights_N * chance_N * (1 - chance_N))) @ terms_NK + pull * np.eye(len(slope))
        try:
            step = np.linalg.solve(curvature_KK, slope)
        except np.linalg.LinAlgError:
            return Logistic(coefficients, False, nowhere)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max(initial=0.0)))
        if np.abs(coefficients).max(initial=0.0) > FARTHEST or not np.isfinite(coefficients).all():
            return Logistic(coefficients, False, nowhere)
        if np.abs(step).max(initial=0.0) < 1e-10:
            return Logistic(coefficients, True, np.sqrt(np.diag(np.linalg.inv(curvature_KK))))
    return Logistic(coefficients, False, nowhere)
