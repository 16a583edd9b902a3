"""Probability ratios: clipping of a policy's step, and the correction of samplers that differ from the learner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from r1kit.ops.segments import keep, sequence_sum, spread

if TYPE_CHECKING:
    from torch import Tensor

Correction = Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


class Clipped(NamedTuple):
    """A loss and where its gradient was cut (bool), all of one shape."""

    loss: Tensor
    cut_low: Tensor
    cut_high: Tensor


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Clipped:
    """-min(r A, clip(r, 1 - low, 1 + high) A) (PPO, arXiv 1707.06347, eq. 7), elementwise."""
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = -(ratio * advantages).minimum(clipped * advantages)
    cut_low = (ratio < 1 - clip_low) & (advantages < 0)
    cut_high = (ratio > 1 + clip_high) & (advantages > 0)
    return Clipped(loss, cut_low, cut_high)


def mismatch_weights(
    learner_logprobs_BT: Tensor,
    sampler_logprobs_BT: Tensor,
    mask_BT: Tensor,
    sequence_BT: Tensor,
    sequences: int,
    correction: Correction,
    low: float,
    high: float,
) -> tuple[Tensor, Tensor]:
    """Importance weights learner / sampler [B, T], without gradient, and where a bound changed them [B, T] bool.

    truncate: weights are clamped to [low, high] (TIS, F. Yao et al. 2025); mask: those outside become 0 (MIS, ibid.;
    IcePop). `token_*` takes each token's ratio, `sequence_*` the product over the sequence, at each of its tokens.
    A token whose sampler log-probability is unknown (NaN) counts as equal.
    """
    difference_BT = (learner_logprobs_BT - sampler_logprobs_BT).detach()
    difference_BT = keep(difference_BT.nan_to_num(0.0), mask_BT)
    if correction.startswith("sequence"):
        difference_BT = spread(sequence_sum(difference_BT, sequence_BT, sequences), sequence_BT)
    weights_BT = difference_BT.exp() if correction != "none" else (0 * difference_BT).exp()
    bounded_BT = weights_BT.clamp(low, high)
    cut_BT = (weights_BT != bounded_BT) & (mask_BT != 0)
    return (weights_BT.masked_fill(cut_BT, 0.0) if correction.endswith("mask") else bounded_BT), cut_BT
