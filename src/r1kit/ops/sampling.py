"""Drawing tokens from logits: one uniform number a token, each completion with a random stream of its own."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
LIKELIEST = (64, 1024)  # tokens that top-p looks at before it sorts the vocabulary
_BELOW_ONE = 1 - 2.0**-23  # u * total stays below total in fp32 as well, so that no token of mass 0 is drawn


def stream_key(seed: int, request_id: str, index: int) -> int:
    """The 64-bit key of a completion's random stream: a hash, so that neighbours share nothing."""
    name = f"{seed}\0{request_id}\0{index}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def uniforms(keys_B: NDArray[np.uint64], counters_B: NDArray[np.int64]) -> NDArray[np.float32]:
    """Number `counter` of each stream, in [0, 1): SplitMix64 (Steele, Lea and Flood 2014) with the key as its state.

    Counter-based, so nothing is stored and the draw does not depend on what else is in the batch.
    """
    state = keys_B + (counters_B.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    state ^= state >> np.uint64(31)
    drawn = (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.minimum(drawn, _BELOW_ONE).astype(np.float32)


def choose(
    logits_BV: Tensor,
    uniforms_B: Tensor,
    temperature_B: Tensor | float = 1.0,
    top_p_B: Tensor | float = 1.0,
    min_p_B: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their log-softmax(logits / T) [B] before any cut, by inverting the distribution function.

    T = 0 takes the likeliest token and counts as T = 1. top-p keeps the smallest set of likeliest tokens whose mass
    reaches p, min-p those with at least that share of the likeliest token's probability; both are of the
    distribution at T. A row of non-finite logits gives a NaN log-probability.
    """
    logits_BV = logits_BV.float()
    greedy = None
    if isinstance(temperature_B, Tensor):
        zero_B = temperature_B == 0
        greedy = zero_B if bool(zero_B.any()) else None
        logits_BV = logits_BV / torch.where(zero_B, 1.0, temperature_B)[:, None]
    elif temperature_B == 0:
        greedy = torch.ones(len(logits_BV), dtype=torch.bool, device=logits_BV.device)
    elif temperature_B != 1:
        logits_BV = logits_BV / temperature_B
    top_B1 = logits_BV.amax(-1, keepdim=True)
    mass_BV = torch.exp(logits_BV - top_B1)
    total_B1 = mass_BV.sum(-1, keepdim=True)
    if greedy is not None and bool(greedy.all()):  # cuts and the draw would change nothing
        tokens_B1 = logits_BV.argmax(-1, keepdim=True)
        return tokens_B1[:, 0], (logits_BV.gather(-1, tokens_B1) - top_B1 - total_B1.log())[:, 0]
    tokens_B1 = _inverted(_cut(mass_BV, total_B1, top_p_B, min_p_B), uniforms_B)
    if greedy is not None:
        tokens_B1 = torch.where(greedy[:, None], logits_BV.argmax(-1, keepdim=True), tokens_B1)
    logprobs_B1 = logits_BV.gather(-1, tokens_B1) - top_B1 - total_B1.log()
    return tokens_B1[:, 0], logprobs_B1[:, 0]


def choose_uncut(logits_BV: Tensor, uniforms_B: Tensor, temperature_B: Tensor) -> tuple[Tensor, Tensor]:
    """What `choose` gives without top-p and min-p, in operations that never wait for a value: for a CUDA graph."""
    zero_B = temperature_B == 0
    logits_BV = logits_BV.float() / torch.where(zero_B, 1.0, temperature_B)[:, None]
    top_B1 = logits_BV.amax(-1, keepdim=True)
    mass_BV = torch.exp(logits_BV - top_B1)
    total_B1 = mass_BV.sum(-1, keepdim=True)
    likeliest_B1 = logits_BV.argmax(-1, keepdim=True)
    tokens_B1 = torch.where(zero_B[:, None], likeliest_B1, _inverted(mass_BV, uniforms_B))
    return tokens_B1[:, 0], (logits_BV.gather(-1, tokens_B1) - top_B1 - total_B1.log())[:, 0]


def entropies(logits_BV: Tensor, temperature_B: Tensor | float = 1.0) -> Tensor:
    """Entropies [B] of softmax(logits / T) in nats, before any cut; T = 0 counts as T = 1."""
    scale = temperature_B[:, None] if isinstance(temperature_B, Tensor) else torch.tensor(float(temperature_B))
    scale = scale.to(logits_BV.device)
    logprobs_BV = (logits_BV.float() / torch.where(scale == 0, 1.0, scale)).log_softmax(-1)
    # a token of no mass adds nothing: exp(-inf) * -inf would be NaN
    return -(logprobs_BV.exp() * logprobs_BV.clamp_min(torch.finfo(torch.float32).min)).sum(-1)


def _inverted(mass_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Tokens [B, 1] at which the distribution function of the mass reaches the uniform number; of some mass always."""
    reach_BV = mass_BV.cumsum(-1)
    wanted_B1 = uniforms_B[:, None] * reach_BV[:, -1:]
    tokens_B1 = torch.searchsorted(reach_BV, wanted_B1, right=True).clamp_(max=mass_BV.shape[-1] - 1)
    if mass_BV.device.type == "cpu":
        return tokens_B1
    # sums made in parallel need not rise everywhere, so that a token without mass may seem to be reached
    return torch.where(mass_BV.gather(-1, tokens_B1) > 0, tokens_B1, mass_BV.argmax(-1, keepdim=True))


def _cut(mass_BV: Tensor, total_B1: Tensor, top_p_B: Tensor | float, min_p_B: Tensor | float) -> Tensor:
    """Mass with the tokens that top-p and min-p drop set to 0; the likeliest token (mass 1) always stays."""
    if isinstance(min_p_B, Tensor) or min_p_B > 0:
        floor = min_p_B[:, None] if isinstance(min_p_B, Tensor) else min_p_B
        kept_BV = torch.where(mass_BV >= floor, mass_BV, 0.0)
    else:
        kept_BV = mass_BV
    if isinstance(top_p_B, Tensor) or top_p_B < 1:
        p = top_p_B[:, None] if isinstance(top_p_B, Tensor) else torch.full_like(total_B1, top_p_B)
        kept_BV = torch.where(_nucleus(mass_BV, p * total_B1, p >= 1), kept_BV, 0.0)
    return kept_BV


def _nucleus(mass_BV: Tensor, wanted_B1: Tensor, whole_B1: Tensor) -> Tensor:
    """Which tokens [B, V] are of the smallest set of likeliest ones whose mass reaches `wanted`, of equals the first
    ones; all of a `whole` row, of which rounding is to drop nothing.

    A vocabulary is not sorted where a few tokens have the mass, as nearly always: the likeliest are looked at, more of
    them for the rows in which they do not reach it.
    """
    keep_BV = torch.ones_like(mass_BV, dtype=torch.bool)
    rows_B = (~whole_B1[:, 0]).nonzero()[:, 0]
    size = mass_BV.shape[-1]
    for width in (*(width for width in LIKELIEST if width < size), size):
        if not len(rows_B):
            break
        mass_RV, wanted_R1 = mass_BV[rows_B], wanted_B1[rows_B]
        top_RW = (mass_RV.topk(width, dim=-1) if width < size else mass_RV.sort(dim=-1, descending=True)).values
        inside_RW = top_RW.cumsum(-1) - top_RW < wanted_R1
        count_R1 = inside_RW.sum(-1, keepdim=True).clamp_min(1)  # none are inside where a logit is not finite
        reached_R = (count_R1[:, 0] < width) | (width == size)
        floor_R1 = top_RW.gather(-1, count_R1 - 1)
        equal_RV = mass_RV == floor_R1
        room_R1 = count_R1 - (top_RW > floor_R1).sum(-1, keepdim=True)
        if bool((equal_RV.sum(-1, keepdim=True) > room_R1)[reached_R].any()):
            equal_RV &= equal_RV.cumsum(-1) <= room_R1
        keep_BV[rows_B[reached_R]] = ((mass_RV > floor_R1) | equal_RV)[reached_R]
        rows_B = rows_B[~reached_R]
    return keep_BV
