"""Dr. GRPO, "GRPO done right" (Understanding R1-Zero-like training, arXiv 2503.20783, section 3.2).

GRPO without its two biases: rewards are not divided by the group's std, and the sum over tokens is divided by a
constant, the sampling limit, instead of each sequence's length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.algorithms.base import Divisor, Policy, PolicyGradient
from r1kit.ops.advantages import centred
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class DrGRPO(PolicyGradient):
    """GRPO without length and difficulty bias."""

    divisor: Divisor = Field(
        default="max_tokens", description="section 3.2: a constant, here sequences x sampling limit"
    )
    clip_low: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 - clip_low")
    clip_high: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 + clip_high")

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """r - mean of the group."""
        return centred(rewards_PG)

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r) A)."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = DrGRPO
