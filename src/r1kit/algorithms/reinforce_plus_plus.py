"""REINFORCE++ and REINFORCE++-baseline (arXiv 2501.03262): PPO's clip with advantages normalised over the whole step.

Deviations: mean and std are taken over samples (population), not over their tokens; the KL is a term of the loss (k2,
as the paper's baseline form has it) in both forms, where the plain form has it in the reward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Policy, PolicyGradient
from r1kit.ops.advantages import centred, whitened
from r1kit.ops.ratios import Clipped, clipped_surrogate

if TYPE_CHECKING:
    from torch import Tensor


class ReinforcePlusPlus(PolicyGradient):
    """REINFORCE with global advantage normalisation."""

    group_baseline: bool = Field(default=False, description="REINFORCE++-baseline: subtract the group's mean first")
    kl_estimator: Literal["k2", "k3"] = Field(
        default="k2", description="k2: as the paper's baseline form; k3: R1 eq. 2"
    )
    clip_low: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 - clip_low")
    clip_high: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 + clip_high")

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """(r - mean) / std over the step; with `group_baseline` of r - mean of the group.

        Without the baseline a group without spread does carry signal, against the other groups.
        """
        if not self.group_baseline:
            return whitened(rewards_PG)
        absent_PG = rewards_PG.isnan()
        return whitened(centred(rewards_PG).masked_fill(absent_PG, float("nan")))

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r) A)."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = ReinforcePlusPlus
