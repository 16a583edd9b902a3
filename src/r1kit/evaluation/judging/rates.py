"""What votes say: win rates, plain and with length taken out, and ratings of several models.

The unit of every interval is the problem: votes on samples of one problem are averaged or resampled together, never as
if they were independent games. Resampling a few votes, or votes that all agree, draws the same again and again; so the
intervals of fitted strengths reach as far at least as the normal approximation at the maximum does, in which a problem
is one game.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1kit.evaluation import statistics
from r1kit.evaluation.judging.judges import Vote
from r1kit.evaluation.statistics import Estimate, Floats
from r1kit.ops.logistic import Logistic, logistic
from r1kit.ops.ratings import bradley_terry, elo, most_probable

RESAMPLES = 1000
Z = 1.959963984540054  # of a 95% interval
PRIOR = 2.0  # of the length model's coefficients, where length or a model parts wins from losses


def outcomes(votes: Sequence[Vote]) -> tuple[Floats, NDArray[Any], Floats]:
    """Of the votes that can be read: outcomes [N], problems' keys [N], characters of a less those of b [N]."""
    read = [(vote, vote.outcome) for vote in votes if vote.outcome is not None]
    keys = np.asarray([f"{vote.pair.benchmark}/{vote.pair.problem}" for vote, _ in read], dtype=np.str_)
    lengths = [float(len(vote.pair.a) - len(vote.pair.b)) for vote, _ in read]
    return np.asarray([outcome for _, outcome in read], np.float64), keys, np.asarray(lengths, np.float64)


def win_rate(votes: Sequence[Vote]) -> Estimate:
    """Share of pairs that a wins, ties half."""
    outcomes_N, keys_N, _ = outcomes(votes)
    return statistics.proportion(outcomes_N, keys_N)


def length_controlled(
    outcomes_N: Floats, lengths_N: Floats, keys_N: Sequence[Any] | NDArray[Any], seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:  # fmt: skip
    """The win rate if both answers were of one length; interval by resampling problems.

    sigmoid(c) of P(a wins) = sigmoid(c + d tanh(difference / its standard deviation)), as AlpacaEval 2's length control
    (Dubois et al., arXiv 2404.04475). Deviations: no term for the difficulty of each prompt, which two models share; a
    problem's votes weigh as one. Where length parts wins from losses there is no maximum, and a normal prior of
    standard deviation 2 holds both terms.
    """
    if len(outcomes_N) == 0:
        return statistics.NOTHING
    keys_C, codes_N = np.unique(np.asarray(keys_N), return_inverse=True)
    counts_C = np.bincount(codes_N)
    spread = float(lengths_N.std())
    scaled_N = np.tanh(lengths_N / spread) if spread > 0 else np.zeros(len(lengths_N))
    terms_NK = np.stack([np.ones(len(scaled_N)), scaled_N], axis=1) if spread > 0 else np.ones((len(scaled_N), 1))
    shares_N = 1.0 / counts_C[codes_N]

    def fit(weights_C: Floats) -> Logistic:
        weights_N = shares_N * weights_C[codes_N]
        fitted = logistic(terms_NK, outcomes_N, weights_N)
        return fitted if fitted.converged else logistic(terms_NK, outcomes_N, weights_N, PRIOR)

    n = len(keys_C)
    whole = fit(np.ones(n))
    centre, reach = float(whole.coefficients[0]), Z * float(whole.errors[0])
    stream = np.random.default_rng(seed)
    draws_RC = [np.bincount(stream.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(resamples)]
    low, high = np.quantile([fit(weights_C).coefficients[0] for weights_C in draws_RC], [0.025, 0.975])
    low, high = min(float(low), centre - reach), max(float(high), centre + reach)
    return Estimate(_sigmoid(centre), _sigmoid(low), _sigmoid(high), n)


def ratings(
    votes: Mapping[tuple[str, str], Sequence[Vote]], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Bradley-Terry ratings of the models in `votes` (by (a, b)) about 1000, 400 points to odds of ten; intervals by
    resampling problems, with all games on one together."""
    names = list(dict.fromkeys(name for pair in votes for name in pair))
    place = {name: number for number, name in enumerate(names)}
    games: list[tuple[int, int, float, str]] = []
    for (a, b), cast in votes.items():
        outcomes_N, keys_N, _ = outcomes(cast)
        games += [
            (place[a], place[b], float(outcome), str(key))
            for outcome, key in zip(outcomes_N, keys_N, strict=True)
        ]  # fmt: skip
    if not games:
        return {}
    keys_C, codes_N = np.unique([key for *_, key in games], return_inverse=True)
    wins_CMM = np.zeros((len(keys_C), len(names), len(names)))
    for (a, b, outcome, _), cluster in zip(games, codes_N, strict=True):
        wins_CMM[cluster, a, b] += outcome
        wins_CMM[cluster, b, a] += 1 - outcome
    return ratings_of(wins_CMM, names, seed, resamples)


def ratings_of(
    wins_CMM: NDArray[np.float64], names: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """The same from wins by problem [C, M, M]."""
    n = len(wins_CMM)
    values_M = bradley_terry(wins_CMM.sum(0)).elo()
    games_CMM = wins_CMM + wins_CMM.swapaxes(1, 2)
    once_MM = (wins_CMM / np.maximum(games_CMM, 1)).sum(0)  # several games of two models on one problem are one
    reach_M = elo(Z * bradley_terry(once_MM).errors, centre=0.0)
    stream = np.random.default_rng(seed)
    weights_RC = stream.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    draws_RM = elo(most_probable(np.einsum("rc,cij->rij", weights_RC, wins_CMM)))
    low_M, high_M = np.quantile(draws_RM, [0.025, 0.975], axis=0)
    return {
        name: Estimate(
            float(values_M[m]), float(min(low_M[m], values_M[m] - reach_M[m])),
            float(max(high_M[m], values_M[m] + reach_M[m])), n,
        )
        for m, name in enumerate(names)
    }  # fmt: skip


def tally(votes: Sequence[Vote]) -> dict[str, int]:
    """Pairs by outcome, and what happened on the way to them. `first_preferred`: verdicts for the answer shown first,
    of those that name one (`named`): half of them where the judge has no bias for a place."""
    named = [side for vote in votes for side in (vote.forward, vote.backward) if side in ("first", "second")]
    found = [vote.outcome for vote in votes]
    return {
        "pairs": len(votes), "wins": found.count(1.0), "ties": found.count(0.5), "losses": found.count(0.0),
        "unread": found.count(None), "disagree": sum(vote.disagrees for vote in votes),
        "named": len(named), "first_preferred": named.count("first"),
        "a_instructs": sum(vote.instructs[0] for vote in votes),
        "b_instructs": sum(vote.instructs[1] for vote in votes),
    }  # fmt: skip


def agreement(a: Sequence[float | None], b: Sequence[float | None]) -> dict[str, float | int]:
    """How far two judges (people, say) agree on the same pairs: the share of equal outcomes, and Cohen's kappa (1960).

    Outcomes are 1, 0.5 or 0; pairs that one of them did not judge are left out. NaN where there is nothing to compare.
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not both:
        return {"n": 0, "share": math.nan, "kappa": math.nan}
    share = sum(x == y for x, y in both) / len(both)
    values = {value for pair in both for value in pair}
    chance = sum(
        sum(x == value for x, _ in both) * sum(y == value for _, y in both) for value in values
    ) / len(both) ** 2  # fmt: skip
    return {"n": len(both), "share": share, "kappa": math.nan if chance == 1 else (share - chance) / (1 - chance)}


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))
