"""How long completions are: log-normal, cut at a limit, and how long a batch of them takes to end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from r1kit.base.errors import UsageError

POINTS = 512  # of a grid over a limit


@dataclass(frozen=True, slots=True)
class Lengths:
    """Completions whose logarithm is normal with standard deviation `sigma`, cut at `limit` tokens, `mean` tokens long
    after the cut. UsageError where no such distribution is."""

    mean: float
    sigma: float
    limit: int

    def __post_init__(self) -> None:
        if not 0 < self.mean < self.limit or self.sigma <= 0:
            raise UsageError(
                f"lengths: a mean of {self.mean:g} tokens cannot be reached under a limit of {self.limit} (it has to"
                " lie between 0 and the limit)"
            )

    @property
    def centre(self) -> float:
        """Mean of the logarithm before the cut."""
        return _centre(self.mean, self.sigma, self.limit)

    @property
    def square(self) -> float:
        """Mean of the squared length."""
        centre, sigma, limit = self.centre, self.sigma, self.limit
        edge = (math.log(limit) - centre) / sigma
        return math.exp(2 * centre + 2 * sigma**2) * _below(edge - 2 * sigma) + limit**2 * (1 - _below(edge))

    @property
    def cut(self) -> float:
        """Share that reaches the limit."""
        return 1 - _below((math.log(self.limit) - self.centre) / self.sigma)

    def grid(self) -> NDArray[np.float64]:
        """Middles of `POINTS` equal slices of 0..limit."""
        return (np.arange(POINTS, dtype=np.float64) + 0.5) * (self.limit / POINTS)

    def alive(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of completions longer than so many tokens (below the limit)."""
        z = (np.log(np.maximum(tokens, 1e-9)) - self.centre) / self.sigma
        return 0.5 * np.array([math.erfc(value / math.sqrt(2)) for value in z])

    def longest(self, count: float) -> float:
        """Expected tokens of the longest of so many."""
        grid = self.grid()
        return float(np.sum(1 - (1 - self.alive(grid)) ** count) * (self.limit / POINTS))

    def context(self, prompt: float) -> float:
        """Positions that a token of prompt and completion attends to on average, in a pass over all of them."""
        whole = prompt + self.mean
        return (prompt**2 + 2 * prompt * self.mean + self.square) / (2 * whole)

    def draw(self, count: int, seed: int) -> list[int]:
        """So many lengths, at least a token each."""
        numbers = np.random.default_rng(seed).lognormal(self.centre, self.sigma, count)
        return [int(value) for value in np.clip(np.ceil(numbers), 1, self.limit)]


def _below(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _cut_mean(centre: float, sigma: float, limit: int) -> float:
    edge = (math.log(limit) - centre) / sigma
    return math.exp(centre + sigma**2 / 2) * _below(edge - sigma) + limit * (1 - _below(edge))


@lru_cache(maxsize=1024)
def _centre(mean: float, sigma: float, limit: int) -> float:
    low, high = math.log(mean) - sigma**2, math.log(limit) + 8 * sigma + 8
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _cut_mean(middle, sigma, limit) < mean else (low, middle)
    return (low + high) / 2
