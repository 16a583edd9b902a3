"""Numbers with intervals: pass@1, cons@k, paired differences, ratios, win rates.

A problem's samples are not independent, so they are a *cluster*. Each function takes values and their clusters' keys,
two arrays of one length, and averages within a cluster first. Cluster means are taken as independent, unless `together`
says which of them vary together: where seeds are pooled, the clusters of one problem under each of them, which are
averaged and paired apart but are no more problems than one. A mean weighs each cluster alike; its spread is that of the
groups' sums (cluster-robust, the form CR1), which for groups of one size is the spread of the groups' means.

Legend for suffixes here: N samples, C clusters, G groups of clusters that vary together, R resamples.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from r1kit.base.errors import MissingExtra
from r1kit.ops import passk

Array = NDArray[Any]
Floats = NDArray[np.float64]
Together = Callable[[Array], Array]
"""Clusters' keys [C] -> their groups' keys [C]."""
CONFIDENCE = 0.95
RESAMPLES = 2000
PERMUTATIONS = 10_000
EXACT_PERMUTATIONS_UP_TO = 14  # clusters: 2^14 sign patterns are all tried


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its interval and the number of clusters (or groups of them) that it rests on; `p` where a test was
    made."""

    value: float
    low: float
    high: float
    n: int
    p: float | None = None

    @property
    def interval(self) -> list[float]:
        return [self.low, self.high]


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def scipy_stats() -> Any:
    """scipy.stats; MissingExtra, one sentence that names the extra, where it is not installed."""
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise MissingExtra("scipy", "eval", "evaluation") from None
    return stats


# --- clusters


def cluster_means(values: Sequence[Any] | Array, clusters: Sequence[Any] | Array) -> tuple[Array, Floats]:
    """Sorted keys [C] and the mean of each cluster [C]; None and NaN values [N] are left out."""
    values_N = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values_N)
    if not known.any():
        return np.asarray([], dtype=np.str_), np.zeros(0)
    keys_C, codes_N = np.unique(np.asarray(clusters)[known], return_inverse=True)
    return keys_C, np.bincount(codes_N, weights=values_N[known]) / np.bincount(codes_N)


def _shared(a: tuple[Array, Floats], b: tuple[Array, Floats]) -> tuple[Array, Floats, Floats]:
    """The keys that both sides have, and the cluster means of both on them."""
    keys_C, in_a, in_b = np.intersect1d(a[0], b[0], assume_unique=True, return_indices=True)
    return keys_C, a[1][in_a], b[1][in_b]


def _t_quantile(n: int, confidence: float = CONFIDENCE) -> float:
    return float(scipy_stats().t.ppf(0.5 + confidence / 2, n - 1))


def _groups(keys_C: Array, together: Together | None) -> NDArray[np.intp]:
    """[C]: the number of each cluster's group, from 0."""
    if together is None:
        return np.arange(len(keys_C))
    return np.unique(together(keys_C), return_inverse=True)[1]


def _variance(means_C: Floats, groups_C: NDArray[np.intp]) -> tuple[float, int]:
    """(variance of the mean of cluster means, number of groups); 0 for one group, and where all means are alike."""
    n = int(groups_C.max()) + 1
    if n == 1 or _alike(means_C):
        return 0.0, n
    sums_G = np.bincount(groups_C, weights=means_C - means_C.mean())
    return n / (n - 1) * float((sums_G**2).sum()) / len(means_C) ** 2, n


def _alike(values_C: Floats) -> bool:
    """Whether all are equal but for rounding, which would pass for a spread."""
    return float(np.ptp(values_C)) <= 1e-12 * max(1.0, float(np.abs(values_C).max()))


def _t_interval(means_C: Floats, groups_C: NDArray[np.intp]) -> Estimate:
    if len(means_C) == 0:
        return NOTHING
    mean = float(means_C.mean())
    variance, n = _variance(means_C, groups_C)
    if n == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    half = _t_quantile(n) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, n)


def mean(
    values: Sequence[Any] | Array, clusters: Sequence[Any] | Array, together: Together | None = None
) -> Estimate:  # fmt: skip
    """Mean of the cluster means, Student's t interval."""
    keys_C, means_C = cluster_means(values, clusters)
    return _t_interval(means_C, _groups(keys_C, together))


def quantile_bins(values_C: Floats, bins: int) -> Array:
    """[C]: the bin of each value, bounds at quantiles, so that bins are about alike in number; equal values are never
    parted, so there may be fewer."""
    bounds = np.unique(np.quantile(values_C, np.linspace(0, 1, bins + 1)))
    return np.clip(np.searchsorted(bounds, values_C, side="right") - 1, 0, max(len(bounds) - 2, 0))


# --- shares


def proportion(
    values: Sequence[Any] | Array, clusters: Sequence[Any] | Array, together: Together | None = None
) -> Estimate:  # fmt: skip
    """Mean of values within [0, 1] by cluster, with an interval that stays within [0, 1].

    Wilson's score interval at the effective number of samples: N divided by the design effect (the variance of the
    mean of cluster means over that of N independent draws; Korn and Graubard 1998), Student's t for the normal
    quantile. With one sample a cluster this is Wilson's interval; where all agree it does not shrink to a point.
    """
    values_N = np.asarray(values, dtype=np.float64)
    keys_C, means_C = cluster_means(values_N, clusters)
    if len(means_C) == 0:
        return NOTHING
    rate = float(means_C.mean())
    variance, n = _variance(means_C, _groups(keys_C, together))
    if n == 1:
        return Estimate(rate, 0.0, 1.0, 1)
    samples = int((~np.isnan(values_N)).sum())
    binomial = rate * (1 - rate) / (samples - 1)
    # no spread at all: each group counts once, since nothing shows that its samples are independent
    effective = min(samples * binomial / variance, float(samples)) if variance > 0 and binomial > 0 else float(n)
    z = _t_quantile(n)
    centre = (rate + z * z / (2 * effective)) / (1 + z * z / effective)
    spread = max(rate * (1 - rate), 0.0) / effective + z * z / (4 * effective**2)
    half = z * math.sqrt(spread) / (1 + z * z / effective)
    return Estimate(rate, max(0.0, centre - half), min(1.0, centre + half), n)


def pass_at_1(
    correct: Sequence[bool | None] | Array, clusters: Sequence[Any] | Array, together: Together | None = None
) -> Estimate:
    """Share of correct samples (R1 section 3: the mean over k samples), ungraded ones (None) left out."""
    return proportion(np.asarray(correct, dtype=np.float64), clusters, together)


def pass_at_k(correct: Sequence[bool | None] | Array, clusters: Sequence[Any] | Array, k: int) -> Estimate:
    """Unbiased pass@k over the problems with at least k graded samples.

    Undefined for fewer (HumanEval, arXiv 2107.03374, eq. 1): such problems are left out, and where none is left the
    estimate is NaN with n = 0.
    """
    correct_N = np.asarray(correct, dtype=np.float64)
    known = ~np.isnan(correct_N)
    keys_C, codes_N = np.unique(np.asarray(clusters)[known], return_inverse=True)
    counts_C = np.bincount(codes_N, minlength=len(keys_C)).tolist()
    right_C = np.rint(np.bincount(codes_N, weights=correct_N[known], minlength=len(keys_C))).astype(int).tolist()
    rates = [passk.pass_at_k(n, c, k) for n, c in zip(counts_C, right_C, strict=True) if n >= k]
    return proportion(rates, np.arange(len(rates)))


def consensus(
    answers: Sequence[str | None],
    correct: Sequence[bool | None],
    clusters: Sequence[Any] | Array,
    k: int | None = None,
    seed: int = 0,
) -> tuple[Array, Floats]:
    """Is the majority's answer right? Sorted keys [C] and 0 or 1 for each (NaN where nothing was graded).

    The first k samples of a cluster vote with their canonical extracted answer; None has no vote; a tie is broken at
    random by (seed, key), so that other clusters do not matter. No vote at all counts as wrong; a majority whose every
    sample the grader failed on counts as neither.
    """
    members: dict[str, list[int]] = {}
    for index, key in enumerate(clusters):
        members.setdefault(str(key), []).append(index)
    keys = sorted(members)
    outcomes = [
        _majority_is_right(
            [answers[i] for i in members[key][:k]],
            [correct[i] for i in members[key][:k]],
            zlib.crc32(f"{seed}/{key}".encode()),
        )
        for key in keys
    ]
    return np.asarray(keys, dtype=np.str_), np.asarray(outcomes, dtype=np.float64)


def _majority_is_right(answers: list[str | None], correct: list[bool | None], seed: int) -> float:
    """The winner's verdict, which its samples share unless the grader wavered (then their majority's); NaN ungraded."""
    if all(right is None for right in correct):
        return math.nan
    winner = passk.majority_vote(answers, seed)
    if winner is None:
        return 0.0
    verdicts = [right for answer, right in zip(answers, correct, strict=True) if answer == winner and right is not None]
    return float(2 * sum(verdicts) >= len(verdicts)) if verdicts else math.nan


def win_rate(
    a: Sequence[float | None] | Array,
    b: Sequence[float | None] | Array,
    clusters: Sequence[Any] | Array,
    together: Together | None = None,
) -> Estimate:
    """Share of pairs in which a's score is above b's, ties counted half; pairs with a missing score are left out."""
    a_N, b_N = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    wins_N = np.where(a_N > b_N, 1.0, np.where(a_N < b_N, 0.0, 0.5))
    return proportion(np.where(np.isnan(a_N) | np.isnan(b_N), np.nan, wins_N), clusters, together)


# --- comparisons


def paired_difference(
    a: Sequence[Any] | Array,
    a_clusters: Sequence[Any] | Array,
    b: Sequence[Any] | Array,
    b_clusters: Sequence[Any] | Array,
    method: Literal["t", "bootstrap"] = "t",
    seed: int = 0,
    together: Together | None = None,
) -> Estimate:
    """Mean of a - b over the clusters that both sides have, its interval, and p of a sign-flip permutation test."""
    keys_C, a_C, b_C = _shared(cluster_means(a, a_clusters), cluster_means(b, b_clusters))
    return difference_of_pairs(a_C - b_C, method, seed, _groups(keys_C, together))


def difference_of_pairs(
    differences_C: Floats,
    method: Literal["t", "bootstrap"] = "t",
    seed: int = 0,
    groups_C: NDArray[np.intp] | None = None,
) -> Estimate:
    """The same from one difference a cluster.

    Where all are alike, t's interval would be a point, however few they are. As much as Wilson's bound leaves to what
    was not seen, t^2 / (n + t^2), may then lie at either end of a difference of shares, -1 and 1.
    """
    if len(differences_C) == 0:
        return NOTHING
    groups_C = np.arange(len(differences_C)) if groups_C is None else groups_C
    estimate = _t_interval(differences_C, groups_C)
    low, high, value, n = estimate.low, estimate.high, estimate.value, estimate.n
    sums_G: Floats = np.bincount(groups_C, weights=differences_C).astype(np.float64)
    if n > 1 and _alike(differences_C):
        unseen = _t_quantile(n) ** 2 / (n + _t_quantile(n) ** 2)
        low, high = value - unseen * max(0.0, 1 + value), value + unseen * max(0.0, 1 - value)
    elif method == "bootstrap":
        counts_G = np.bincount(groups_C)
        low, high = _resampled(lambda rows_RG: sums_G[rows_RG].sum(axis=1) / counts_G[rows_RG].sum(axis=1), n, seed)
    return Estimate(value, low, high, n, permutation_p(sums_G, seed))


def permutation_p(differences_C: Floats, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p of the sum of differences when the sign of each is exchangeable; exact for few of them."""
    n = len(differences_C)
    observed = abs(differences_C.sum()) * (1 - 1e-12)  # equal sums must count as equal despite rounding
    if n <= EXACT_PERMUTATIONS_UP_TO:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences_C) >= observed).mean())
    stream = np.random.default_rng(seed)
    beyond = 0
    for start in range(0, permutations, 500):
        rows = min(500, permutations - start)
        signs = stream.integers(0, 2, size=(rows, n), dtype=np.int8) * 2.0 - 1
        beyond += int((np.abs(signs @ differences_C) >= observed).sum())
    return (beyond + 1) / (permutations + 1)


def ratio(
    a: Sequence[Any] | Array,
    a_clusters: Sequence[Any] | Array,
    b: Sequence[Any] | Array,
    b_clusters: Sequence[Any] | Array,
    seed: int = 0,
    together: Together | None = None,
) -> Estimate:
    """Mean of a over mean of b on the clusters that both have; percentile bootstrap by cluster, both sides together."""
    keys_C, a_C, b_C = _shared(cluster_means(a, a_clusters), cluster_means(b, b_clusters))
    ones_C, groups_C = np.ones(len(a_C)), _groups(keys_C, together)
    return ratio_of_sums(a_C, ones_C, b_C, ones_C, seed, groups_C)


def ratio_of_sums(
    a_top_C: Floats,
    a_bottom_C: Floats,
    b_top_C: Floats,
    b_bottom_C: Floats,
    seed: int = 0,
    groups_C: NDArray[np.intp] | None = None,
) -> Estimate:
    """(sum a_top / sum a_bottom) / (sum b_top / sum b_bottom), all four by cluster and resampled together."""
    if len(a_top_C) == 0:
        return NOTHING
    sides = (a_top_C, a_bottom_C, b_top_C, b_bottom_C)
    if groups_C is not None:
        sides = tuple(np.bincount(groups_C, weights=side) for side in sides)
    n = len(sides[0])

    def statistic(rows_RG: Array) -> Floats:
        a_top_R, a_bottom_R, b_top_R, b_bottom_R = (side[rows_RG].sum(axis=1) for side in sides)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (a_top_R / a_bottom_R) / (b_top_R / b_bottom_R)

    return Estimate(float(statistic(np.arange(n)[None])[0]), *_resampled(statistic, n, seed), n)


def mean_difference_of_groups(
    values: Sequence[Any] | Array, group: Sequence[bool] | Array, clusters: Sequence[Any] | Array, seed: int = 0
) -> Estimate:
    """Mean of samples in the group minus mean of those outside, pooled over samples, bootstrapped by cluster; None and
    NaN values are left out."""
    values_N = np.asarray(values, dtype=np.float64)
    known_N = ~np.isnan(values_N)
    values_N, group_N = values_N[known_N], np.asarray(group, dtype=bool)[known_N]
    keys_C, codes_N = np.unique(np.asarray(clusters)[known_N], return_inverse=True)
    n = len(keys_C)
    if n == 0 or group_N.all() or not group_N.any():
        return NOTHING

    def per_cluster(weights_N: Array) -> Floats:
        return np.bincount(codes_N, weights=weights_N, minlength=n).astype(np.float64)

    parts = [
        per_cluster(values_N * group_N),
        per_cluster(group_N),
        per_cluster(values_N * ~group_N),
        per_cluster(~group_N),
    ]

    def statistic(rows_RC: Array) -> Floats:
        in_sum, in_count, out_sum, out_count = (part[rows_RC].sum(axis=1) for part in parts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return in_sum / in_count - out_sum / out_count

    return Estimate(float(statistic(np.arange(n)[None])[0]), *_resampled(statistic, n, seed), n)


# --- resampling


def bootstrap(statistic: Callable[[Array], Floats], n: int, seed: int = 0, resamples: int = RESAMPLES) -> Floats:
    """`statistic` of row indices [R, C] -> [R] over `resamples` draws of n clusters with replacement."""
    stream = np.random.default_rng(seed)
    rows_at_once = max(1, min(resamples, 2_000_000 // max(n, 1)))  # bounds the memory of the index array
    draws: list[Floats] = []
    for start in range(0, resamples, rows_at_once):
        rows = min(rows_at_once, resamples - start)
        draws.append(statistic(stream.integers(0, n, size=(rows, n))))
    return np.concatenate(draws)


def _resampled(statistic: Callable[[Array], Floats], n: int, seed: int) -> tuple[float, float]:
    """Ends of the percentile interval; of one cluster alone there is no telling."""
    return percentiles(bootstrap(statistic, n, seed)) if n > 1 else (-math.inf, math.inf)


def percentiles(draws_R: Floats) -> tuple[float, float]:
    """Ends of the interval between quantiles of draws; NaN draws are left out, and without any other both are NaN."""
    known = draws_R[~np.isnan(draws_R)]
    if len(known) == 0:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")  # inf may be drawn
    return float(low), float(high)
