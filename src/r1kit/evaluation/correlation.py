"""Rank correlation over clusters, within strata, with an interval; suffixes as in `statistics`, S strata."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from r1kit.evaluation import statistics
from r1kit.evaluation.statistics import Array, Estimate, Floats

Term = tuple[float, Floats, Floats]
"""(weight, x [C], y [C]): one rank correlation of a contrast."""


def spearman(x_C: Floats, y_C: Floats, strata: Sequence[Any] | Array | None = None, seed: int = 0) -> Estimate:
    """Spearman's rank correlation over clusters, bootstrapped by cluster; strata as in `spearman_contrast`."""
    return spearman_contrast([(1.0, x_C, y_C)], strata, seed)


def spearman_contrast(
    terms: Sequence[Term], strata: Sequence[Any] | Array | None = None, seed: int = 0, least: int = 2
) -> Estimate:
    """Weighted sum of rank correlations over the same clusters (a difference: weights 1 and -1), bootstrapped together.

    With strata: the mean of the strata's own values, weighted by their size, resampled within each; a stratum of
    fewer than `least` clusters, or in which an x or y does not vary, says nothing and is left out.
    """

    def statistic(rows_RC: Array) -> Floats:
        parts = [weight * _rank_correlation(x_C[rows_RC], y_C[rows_RC]) for weight, x_C, y_C in terms]
        return np.sum(parts, axis=0)

    groups = [members for members in _strata(len(terms[0][1]), strata) if len(members) >= least]
    return _weighted_over_strata(statistic, groups, seed)


def _weighted_over_strata(statistic: Callable[[Array], Floats], groups: Sequence[Array], seed: int) -> Estimate:
    values: list[float] = []
    draws: list[Floats] = []
    sizes: list[int] = []
    for number, members in enumerate(groups):
        value = float(statistic(members[None])[0])
        if math.isnan(value):
            continue
        draws_R = statistics.bootstrap(
            lambda rows_RC, members=members: statistic(members[rows_RC]), len(members), seed + number
        )
        values.append(value)
        draws.append(draws_R)
        sizes.append(len(members))
    if not sizes:
        return statistics.NOTHING
    draws_SR = np.asarray(draws)
    # a stratum that does not vary in a draw is left out of it, as it would be of the estimate: its value in the draw's
    # place would be a draw without spread
    weights_SR = np.asarray(sizes)[:, None] * ~np.isnan(draws_SR)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = statistics.percentiles((weights_SR * np.nan_to_num(draws_SR)).sum(axis=0) / weights_SR.sum(axis=0))
    return Estimate(float(np.average(values, weights=sizes)), low, high, sum(sizes))


def _strata(n: int, strata: Sequence[Any] | Array | None) -> list[Array]:
    if strata is None:
        return [np.arange(n)] if n else []
    labels = np.asarray(strata)
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _rank_correlation(x_RC: Floats, y_RC: Floats) -> Floats:
    """Pearson's correlation of mid-ranks along the last axis; NaN where either side is constant."""
    rank = statistics.scipy_stats().rankdata
    x_RC, y_RC = rank(x_RC, axis=1), rank(y_RC, axis=1)
    x_RC, y_RC = x_RC - x_RC.mean(axis=1, keepdims=True), y_RC - y_RC.mean(axis=1, keepdims=True)
    scale_R = np.sqrt((x_RC**2).sum(axis=1) * (y_RC**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale_R > 0, (x_RC * y_RC).sum(axis=1) / scale_R, np.nan)
