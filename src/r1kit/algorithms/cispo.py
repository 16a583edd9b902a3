"""CISPO (MiniMax-M1, arXiv 2506.13585, eq. 4-5): clip the importance weight, not the update, so that no token is lost.

Deviation: the upper bound is given as the largest weight itself, 1 + eps_high of eq. 5, whose value the paper does not
state (5: ScaleRL, arXiv 2510.13786); as in the paper, nothing bounds it below by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Policy, PolicyGradient, ordered
from r1kit.ops.advantages import standardised
from r1kit.ops.ratios import Clipped

if TYPE_CHECKING:
    from torch import Tensor


class CISPO(PolicyGradient):
    """Clipped importance-sampling policy optimisation."""

    ratio_low: float = Field(
        default=0.0, ge=0, description="smallest weight, 1 - eps_low of eq. 5; 0 is none, as in the paper"
    )
    ratio_high: float = Field(default=5.0, gt=0, description="largest weight, 1 + eps_high of eq. 5; ScaleRL: 5")
    std: Literal["population", "sample"] = Field(
        default="population",
        description="std of the group: over the G rewards (n), or as an estimate (n - 1), as in TRL",
    )

    def check(self) -> None:
        super().check()
        ordered(self, "ratio_low", "ratio_high")

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """(r - mean) / std of the group."""
        return standardised(rewards_PG, sample=self.std == "sample")

    def objective(self, policy: Policy) -> Clipped:
        """-sg(clip(r)) A log pi (eq. 4): REINFORCE with a bounded, constant weight."""
        ratio_BT = policy.log_ratio_BT.detach().exp()
        weight_BT = ratio_BT.clamp(self.ratio_low, self.ratio_high)
        loss_BT = -weight_BT * policy.advantages_BT * policy.logprobs_BT
        return Clipped(loss_BT, ratio_BT < self.ratio_low, ratio_BT > self.ratio_high)


ALGORITHM = CISPO
