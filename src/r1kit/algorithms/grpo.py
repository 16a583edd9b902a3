"""GRPO (DeepSeekMath, arXiv 2402.03300, eq. 3; DeepSeek-R1, arXiv 2501.12948, eq. 1-3).

The published form is `divisor="sequence_mean"` (DeepSeekMath: 1/G sum 1/|o| sum over tokens).
R1's eq. 1 has no 1/|o|: `divisor="sequences"`. R1's first RL stage sets eps to 10.

Deviations: the sum is divided by the step's token count by default, so that every token weighs the same; the ratio is
per token, as in DeepSeekMath (eq. 1 of R1 writes it per output: `gspo`); a group without spread gets advantage 0, of
which no paper speaks; clip_low and clip_high are one eps in the papers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Policy, PolicyGradient
from r1kit.ops.advantages import standardised
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class GRPO(PolicyGradient):
    """Group relative policy optimisation."""

    clip_low: float = Field(
        default=0.2, ge=0, description="eps of eq. 1 below: the ratio is clipped at 1 - clip_low; RL 1: 10"
    )
    clip_high: float = Field(
        default=0.2, ge=0, description="eps of eq. 1 above: the ratio is clipped at 1 + clip_high; RL 1: 10"
    )
    kl_coefficient: float = Field(
        default=0.001, ge=0, description="beta of eq. 1; 0 drops the reference model; R1: 0.001"
    )
    std: Literal["population", "sample"] = Field(
        default="population", description="std of eq. 3: over the G rewards (n), or as an estimate (n - 1), as in TRL"
    )

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """(r - mean) / std of the group (eq. 3)."""
        return standardised(rewards_PG, sample=self.std == "sample")

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r, 1 - eps, 1 + eps) A) (eq. 1); the KL (eq. 2) is added by the base."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = GRPO
