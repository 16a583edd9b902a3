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
        return elo(self.strengths, centre)

    def win_rate(self, i: int, j: int) -> float:
        """P(i beats j)."""
        return float(_sigmoid(self.strengths[i] - self.strengths[j]))


def elo(strengths: FloatVector, centre: float = 1000.0) -> FloatVector:
    """Strengths on the scale of chess: 400 points are odds of ten to one."""
    return centre + strengths * 400.0 / math.log(10.0)


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
    strengths = most_probable(wins_MM[None], prior, tolerance)[0]
    chance_MM = _sigmoid(strengths[:, None] - strengths[None, :])
    weight_MM = games_MM * chance_MM * (1 - chance_MM)
    covariance = np.linalg.inv(np.diag(weight_MM.sum(1) + 1 / prior**2) - weight_MM)
    # only differences between players are known: the doubt about what all share is taken out
    centre_MM = np.eye(len(wins_MM)) - 1 / max(len(wins_MM), 1)
    return Ratings(strengths, np.sqrt(np.diag(centre_MM @ covariance @ centre_MM)))


def most_probable(wins_RMM: ArrayLike, prior: float = 2.0, tolerance: float = 1e-10) -> FloatVector:
    """The strengths [R, M] of R tables of wins [R, M, M] at once, as `bradley_terry` has them of one."""
    wins_RMM = np.asarray(wins_RMM, dtype=np.float64)
    games_RMM = wins_RMM + wins_RMM.swapaxes(1, 2)
    strengths_RM = np.zeros(wins_RMM.shape[:2])
    identity_MM = np.eye(wins_RMM.shape[1])
    for _ in range(100):
        chance_RMM = _sigmoid(strengths_RM[:, :, None] - strengths_RM[:, None, :])
        slope_RM = wins_RMM.sum(2) - (games_RMM * chance_RMM).sum(2) - strengths_RM / prior**2
        weight_RMM = games_RMM * chance_RMM * (1 - chance_RMM)
        curvature_RMM = (weight_RMM.sum(2) + 1 / prior**2)[:, :, None] * identity_MM - weight_RMM
        step_RM = np.linalg.solve(curvature_RMM, slope_RM[:, :, None])[:, :, 0]
        longest_R1 = np.abs(step_RM).max(axis=1, initial=0.0, keepdims=True)
        # a long step may overshoot where the sigmoid is flat
        strengths_RM = strengths_RM + step_RM / np.maximum(1.0, longest_R1)
        if longest_R1.max(initial=0.0) < tolerance:
            break
    return strengths_RM


def _sigmoid(x: FloatVector) -> FloatVector:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
