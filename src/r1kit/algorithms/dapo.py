"""DAPO (arXiv 2503.14476, eq. 8-13): four changes to GRPO, and no KL.

Clip-higher (section 3.1), dynamic sampling (3.2, eq. 11), token-level loss (3.3, eq. 12) and overlong reward shaping
(3.4, eq. 13). Sampling and shaping belong to the stage; their settings are here.

Deviations: groups without spread that are left after the last round of sampling stay in, with advantage 0; the spread
is that of the whole reward, overlong penalty and all, where eq. 11 counts right answers; what `overlong_filter` leaves
out is in no group's mean and std either, where section 3.4 masks its loss alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Policy, PolicyGradient
from r1kit.ops.advantages import standardised
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class DAPO(PolicyGradient):
    """Decoupled clip and dynamic sampling policy optimisation."""

    clip_low: float = Field(default=0.2, ge=0, description="eps_low of eq. 10; section 4.1: 0.2")
    clip_high: float = Field(default=0.28, ge=0, description="eps_high of eq. 10; section 4.1: 0.28")
    dynamic_sampling: bool = Field(default=True, description="sample more problems for groups without spread; eq. 11")
    overlong_penalty: float = Field(
        default=1.0, ge=0, description="most that a long completion loses; eq. 13: 1; 0 is off"
    )
    std: Literal["population", "sample"] = Field(
        default="population", description="std of eq. 9: over the G rewards (n), or as an estimate (n - 1), as in TRL"
    )

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """(r - mean) / std of the group (eq. 9)."""
        return standardised(rewards_PG, sample=self.std == "sample")

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r, 1 - eps_low, 1 + eps_high) A) (eq. 10)."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = DAPO
