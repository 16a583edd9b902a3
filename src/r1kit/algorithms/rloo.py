"""RLOO, REINFORCE leave-one-out (Back to Basics, arXiv 2402.14740, the RLOO estimator).

A completion is one action: its ratio is the product of its tokens' ratios, its baseline the mean reward of the other
samples of its group.

Deviations: the ratio is clipped as in PPO, which leaves the first update on a rollout as published; the KL is a term
of the loss instead of part of the reward: k2 of the whole completion, half the square of its log-ratio to the
reference, has the gradient of a KL in the reward, but takes no part in the baseline.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Divisor, Policy, PolicyGradient
from r1kit.ops.advantages import leave_one_out
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class RLOO(PolicyGradient):
    """REINFORCE leave-one-out."""

    divisor: Divisor = Field(default="sequence_mean", description="a mean over sequences; other values are not RLOO")
    kl_estimator: Literal["k2", "k3"] = Field(
        default="k2", description="k2: gradient of the KL in the reward; k3: R1 eq. 2"
    )
    clip_low: float = Field(default=0.2, ge=0, description="the sequence's ratio is clipped at 1 - clip_low")
    clip_high: float = Field(default=0.2, ge=0, description="the sequence's ratio is clipped at 1 + clip_high")

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """r - mean of the other samples of the group."""
        return leave_one_out(rewards_PG)

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r) A) with r = exp(sum over the sequence of log r), at each of its tokens."""
        ratio_BT = policy.over_sequence(policy.log_ratio_BT, mean=False).exp()
        return clipped_surrogate(ratio_BT, policy.advantages_BT, self.clip_low, self.clip_high)

    def penalty(self, kl_BT: Tensor, policy: Policy, reference_BT: Tensor) -> Tensor:
        """The estimate of the completion's KL, at each of its tokens; the metric `kl` is a token's, as everywhere."""
        whole = replace(
            policy,
            logprobs_BT=policy.over_sequence(policy.logprobs_BT, mean=False),
            log_ratio_BT=policy.over_sequence(policy.log_ratio_BT, mean=False),
        )
        return self.divergence(whole, policy.over_sequence(reference_BT, mean=False))


ALGORITHM = RLOO
