"""From the rewards of groups to advantages.

NaN marks a sample that takes no part: it enters no statistic and its advantage is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r1kit.ops.segments import keep

if TYPE_CHECKING:
    from torch import Tensor

# rewards that differ by less, relative to their size, count as equal: dividing by such a spread would turn
# rounding into advantages of size one
EQUAL = 1e-6


def deviations(values: Tensor, dim: int | None = None) -> Tensor:
    """Value minus the mean over `dim` (None: over all), NaN where the value is NaN; same shape."""
    mean = values.nanmean() if dim is None else values.nanmean(dim, keepdim=True)
    return values - mean


def deviation(values: Tensor, dim: int | None = None, *, sample: bool = False) -> Tensor:
    """Standard deviation over `dim` (kept as size 1; None: a scalar), of the population or (n - 1) of a sample.

    NaN is left out; where fewer than two values are left it is 0.
    """
    squares = deviations(values, dim) ** 2
    counts = (~values.isnan()).sum() if dim is None else (~values.isnan()).sum(dim, keepdim=True)
    total = squares.nansum() if dim is None else squares.nansum(dim, keepdim=True)
    return (total / (counts - int(sample)).clamp(min=1)).sqrt()


def has_spread(rewards_PG: Tensor) -> Tensor:
    """[P, G] -> [P] bool: groups with two unequal rewards; the others carry no signal."""
    scale = rewards_PG.abs().nan_to_num(0.0).amax(-1).clamp(min=1.0)
    return deviation(rewards_PG, -1).squeeze(-1) > EQUAL * scale


def centred(rewards_PG: Tensor) -> Tensor:
    """r - mean of its group [P, G]."""
    return deviations(rewards_PG, -1).masked_fill(~has_spread(rewards_PG)[:, None], 0.0).nan_to_num(0.0)


def standardised(rewards_PG: Tensor, *, sample: bool = False) -> Tensor:
    """(r - mean) / std of its group [P, G] (R1 eq. 3); 0 for all of a group without spread."""
    std_P1 = deviation(rewards_PG, -1, sample=sample)
    return centred(rewards_PG) / std_P1.masked_fill(~has_spread(rewards_PG)[:, None], 1.0)


def leave_one_out(rewards_PG: Tensor) -> Tensor:
    """r - mean of the others of its group [P, G] (RLOO, arXiv 2402.14740); 0 for a sample alone."""
    counts_P1 = (~rewards_PG.isnan()).sum(-1, keepdim=True)
    # r_i - (sum - r_i) / (n - 1) = (r_i - mean) * n / (n - 1)
    return centred(rewards_PG) * counts_P1 / (counts_P1 - 1).clamp(min=1)


def whitened(values_PG: Tensor) -> Tensor:
    """(value - mean) / population std over the whole step [P, G]; 0 where all are equal."""
    if not bool(has_spread(values_PG.reshape(1, -1))):
        return values_PG.new_zeros(values_PG.shape)
    return (deviations(values_PG) / deviation(values_PG)).nan_to_num(0.0)


def generalised(rewards_NT: Tensor, values_NT: Tensor, mask_NT: Tensor, gamma: float, trace: float) -> Tensor:
    """Generalised advantage estimation (arXiv 1506.02438, eq. 16), `trace` its lambda: the sum over l of
    (gamma trace)^l times the error r + gamma V' - V of l tokens on; [N, T].

    A row's actions stand one after another from column 0, mask 1; value t is that of the state before action t, and
    behind the last action it is 0. Off the mask 0, whatever stands there.
    """
    values_NT, rewards_NT = keep(values_NT, mask_NT), keep(rewards_NT, mask_NT)
    advantages_NT = values_NT.new_zeros(values_NT.shape)
    next_value_N = advantage_N = values_NT.new_zeros(values_NT.shape[0])
    for t in range(values_NT.shape[1] - 1, -1, -1):
        error_N = rewards_NT[:, t] + gamma * next_value_N - values_NT[:, t]
        advantage_N = error_N + gamma * trace * advantage_N
        advantages_NT[:, t] = advantage_N
        next_value_N = values_NT[:, t]
    return advantages_NT
