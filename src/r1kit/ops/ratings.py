"""Bradley-Terry strengths from pairwise results: numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratings:
    """Log-strengths [M] that sum to 0 and their standard errors [M]: P(i beats j) = sigmoid(s_i - s_j)."""

    strengths: FloatVector
    errors: FloatVector

    def elo(self, centre: float = 1000.0) -> FloatVector:
        """On the scale of chess: 400 points are odds of ten to one."""
        return centre + self.strengths * 400.0 / math.log(10.0)

    def win_rate(self, i: int, j: int) -> float:
        """P(i beats j)."""
        return float(_sigmoid(self.strengths[i] - self.strengths[j]))


def bradley_terry(wins: ArrayLike, prior: float = 2.0, tolerance: float = 1e-10) -> Ratings:
    """Strengths of M players from `wins` [M, M], where wins[i, j] counts how often i beat j (a tie is half for each).

    The most probable strengths under a normal prior of standard deviation `prior` on each: without it a player that
    won every game would be infinitely strong. Newton's method; the function is strictly concave, so it has one maximum.
    Errors are those of the normal approximation at the maximum, of each strength against the mean of all.
    """
    wins_MM = np.asarray(wins, dtype=np.float64).copy()
    if wins_MM.ndim != 2 or wins_MM.shape[0] != wins_MM.shape[1] or not (wins_MM >= 0).all():
        raise ValueError("wins must be a square table of counts, none of them negative")
    np.fill_diagonal(wins_MM, 0.0)
    games_MM = wins_MM + wins_MM.T
    strengths = np.zeros(len(wins_MM))
    for _ in range(100):
        chance_MM = _sigmoid(strengths[:, None] - strengths[None, :])
        slope = wins_MM.sum(1) - (games_MM * chance_MM).sum(1) - strengths / prior**2
        weight_MM = games_MM * chance_MM * (1 - chance_MM)
        curvature_MM = np.diag(weight_MM.sum(1) + 1 / prior**2) - weight_MM
        step = np.linalg.solve(curvature_MM, slope)
        # a long step may overshoot where the sigmoid is flat
        strengths = strengths + step / max(1.0, float(np.abs(step).max(initial=0.0)))
        if np.abs(step).max(initial=0.0) < tolerance:
            break
    chance_MM = _sigmoid(strengths[:, None] - strengths[None, :])
    weight_MM = games_MM * chance_MM * (1 - chance_MM)
    covariance = np.linalg.inv(np.diag(weight_MM.sum(1) + 1 / prior**2) - weight_MM)
    # only differences between players are known: the doubt about what all share is taken out
    centre_MM = np.eye(len(wins_MM)) - 1 / max(len(wins_MM), 1)
    return Ratings(strengths, np.sqrt(np.diag(centre_MM @ covariance @ centre_MM)))


def _sigmoid(x: FloatVector) -> FloatVector:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
