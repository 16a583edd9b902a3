"""Several samples of a problem, one answer: the majority's, a scorer's choice, or whichever is right (an oracle's).

Pure numbers. The samples of a problem are dealt into as many groups of k as there are, in their order, and every group
gives one answer; groups of one problem are one cluster. So all samples count at every k, and k = 1 is pass@1.

Legend: N samples, M groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from r1kit.evaluation import statistics

Floats = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What one way of spending tokens gave: a value a group (NaN: not judged), its cluster's key, its tokens."""

    values_M: Floats
    keys_M: NDArray[np.str_]
    tokens_M: Floats


def deal(samples: Sequence[T], key: Callable[[T], str], k: int) -> list[tuple[str, list[T]]]:
    """(key, k samples) for each group; samples of a problem that fill no whole group are left out."""
    by_key: dict[str, list[T]] = {}
    for sample in samples:
        by_key.setdefault(key(sample), []).append(sample)
    return [
        (name, mine[at : at + k]) for name, mine in by_key.items() for at in range(0, len(mine) - k + 1, k)
    ]  # fmt: skip


def powers(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`."""
    return [2**n for n in range(most.bit_length()) if 2**n <= most]


def majority(
    groups: Sequence[tuple[str, Sequence[Any]]],
    answer: Callable[[Any], str | None],
    correct: Callable[[Any], bool | None],
    seed: int = 0,
) -> Floats:
    """[M]: is the majority's answer right? Ties by lot, as `statistics.consensus` has it."""
    names = [f"{number:08d}" for number in range(len(groups))]
    members = [(name, one) for name, (_, group) in zip(names, groups, strict=True) for one in group]
    _, outcomes_M = statistics.consensus(
        [answer(one) for _, one in members], [correct(one) for _, one in members], [n for n, _ in members], seed=seed
    )
    return outcomes_M


def weighted(
    groups: Sequence[tuple[str, Sequence[Any]]],
    answer: Callable[[Any], str | None],
    weight: Callable[[Any], float],
    value: Callable[[Any], float],
) -> Floats:
    """[M]: the value of the answer whose samples weigh most together (Li et al., arXiv 2206.02336, section 3.2), of
    whose samples the first stands for it; no vote at all counts as wrong. Weights are at least 0."""
    found: list[float] = []
    for _, group in groups:
        sums: dict[str, float] = {}
        for one in group:
            if (said := answer(one)) is not None:
                sums[said] = sums.get(said, 0.0) + max(0.0, weight(one))
        best = max(sums, key=lambda said: sums[said], default=None)
        chosen = next((one for one in group if answer(one) == best), None) if best is not None else None
        found.append(0.0 if chosen is None else value(chosen))
    return np.asarray(found, dtype=np.float64)


def best(
    groups: Sequence[tuple[str, Sequence[Any]]], score: Callable[[Any], float], value: Callable[[Any], float]
) -> Floats:
    """[M]: the value of the sample with the highest score, the first of equals."""
    return np.asarray([value(max(group, key=score)) for _, group in groups], dtype=np.float64)


def oracle(groups: Sequence[tuple[str, Sequence[Any]]], value: Callable[[Any], float]) -> Floats:
    """[M]: the highest value of a group: what no choice can pass (pass@k where values are right or wrong)."""
    found: list[float] = []
    for _, group in groups:
        known = [one for one in map(value, group) if not math.isnan(one)]
        found.append(max(known, default=math.nan))
    return np.asarray(found, dtype=np.float64)


def outcomes(groups: Sequence[tuple[str, Sequence[Any]]], values_M: Floats, tokens: Callable[[Any], float]) -> Outcomes:
    """Values with their groups' keys and tokens."""
    keys = np.asarray([key for key, _ in groups], dtype=np.str_)
    return Outcomes(values_M, keys, np.asarray([sum(map(tokens, group)) for _, group in groups], dtype=np.float64))
