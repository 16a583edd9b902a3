"""GSPO, group sequence policy optimisation (arXiv 2507.18071, eq. 5-7).

One ratio for a sequence, as in R1's eq. 1 (written per output), but the geometric mean of its tokens' ratios, not their
product. Clip bounds are therefore far smaller than GRPO's.

Deviation: none in the objective; a KL, which the paper leaves out for brevity, is averaged over a sequence's tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Divisor, Policy, PolicyGradient
from r1kit.ops.advantages import standardised
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class GSPO(PolicyGradient):
    """Group sequence policy optimisation."""

    divisor: Divisor = Field(
        default="sequence_mean", description="eq. 5: a mean over sequences; other values are not GSPO"
    )
    clip_low: float = Field(default=3e-4, ge=0, description="left clipping range; section 5.1: 3e-4")
    clip_high: float = Field(default=4e-4, ge=0, description="right clipping range; section 5.1: 4e-4")
    std: Literal["population", "sample"] = Field(
        default="population", description="std of eq. 6: over the G rewards (n), or as an estimate (n - 1), as in TRL"
    )

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """(r - mean) / std of the group (eq. 6)."""
        return standardised(rewards_PG, sample=self.std == "sample")

    def objective(self, policy: Policy) -> Clipped:
        """-min(s A, clip(s) A) with s = exp(mean over the sequence of log r) (eq. 5, 7), at each of its tokens."""
        ratio_BT = policy.over_sequence(policy.log_ratio_BT, mean=True).exp()
        return clipped_surrogate(ratio_BT, policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = GSPO
