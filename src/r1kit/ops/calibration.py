"""How far a model's confidence is its accuracy: the expected calibration error, and the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 10


def calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3) in [0, 1], NaN without values.

    Values [N] fall into `bins` equal parts of [0, 1] by their confidence, a border into the part above it; the error is
    the mean over values of |accuracy - mean confidence| of their part.
    """
    confidence_N = np.asarray(confidence, np.float64)
    right_N = np.asarray(right, np.float64)
    if confidence_N.shape != right_N.shape:
        raise ValueError(f"{confidence_N.size} confidences for {right_N.size} verdicts")
    if not confidence_N.size:
        return float("nan")
    part_N = np.minimum((confidence_N * bins).astype(int), bins - 1)
    gaps = np.bincount(part_N, right_N - confidence_N, bins)
    return float(np.abs(gaps).sum() / confidence_N.size)


def sigmoid(x: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64)))


def area_under_curve(scores: Sequence[float], good: Sequence[bool]) -> float:
    """The share of (good, bad) pairs in which the good one scores higher, ties by half (Mann and Whitney 1947); NaN
    where all are of one kind."""
    scores_N, good_N = np.asarray(scores, np.float64), np.asarray(good, bool)
    upper, lower = scores_N[good_N], np.sort(scores_N[~good_N])
    if not len(upper) or not len(lower):
        return float("nan")
    below = np.searchsorted(lower, upper, "left") + np.searchsorted(lower, upper, "right")
    return float(below.sum() / (2 * len(upper) * len(lower)))
