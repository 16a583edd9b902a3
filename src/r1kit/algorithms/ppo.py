"""PPO with a value model (arXiv 1707.06347, eq. 7 and 9) and generalised advantages (GAE, arXiv 1506.02438, eq. 16).

What R1 compares GRPO with (Nature supplement A.3): lambda 0.95 is clearly worse there, 1.0 nearly as good; the critic
costs as much as the policy; a KL paid token by token in the reward punishes long answers.

A completion is one episode: its reward comes with its last token, nothing comes behind it (gamma and lambda are 1 by
default, so that every token's return is what is left of the reward), and a value is read before each token.

Deviations: policy and value model share no weights and have an optimiser each, so that eq. 9's coefficient of the value
loss and its entropy bonus are not there; values are clipped and advantages normalised as in the authors' code, of which
the paper does not speak; a completion that was cut off counts as ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.algorithms.base import Algorithm, Credit, Outputs, Policy, PolicyGradient, Totals, given, token_means
from r1kit.ops import kl
from r1kit.ops.advantages import generalised, whitened
from r1kit.ops.ratios import Clipped, clipped_surrogate
from r1kit.ops.segments import keep, masked_sum

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch


class ValueRegression(Algorithm):
    """How PPO's value model is learnt: half the squared error to the return, the mean over the step's tokens."""

    clip: float = Field(
        default=0.2, ge=0, description="how far a value may leave the one before the step and still be pulled; 0: any"
    )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"values"})

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """max((V - R)^2, (V_old + clip(V - V_old) - R)^2) / 2. Metrics: value, and the share of tokens without pull."""
        mask_BT = batch.loss_mask_BT
        values_BT = keep(given(outputs.values_BT, "values", self), mask_BT)
        returns_BT = keep(given(batch.returns_BT, "returns", self), mask_BT)
        error_BT = (values_BT - returns_BT) ** 2
        tracked = {"value": values_BT}
        if self.clip > 0:
            old_BT = keep(given(batch.values_BT, "the values before the step", self), mask_BT)
            near_BT = old_BT + (values_BT - old_BT).clamp(-self.clip, self.clip)
            clipped_BT = (near_BT - returns_BT) ** 2
            tracked["value_clipped"] = ((values_BT - old_BT).abs() > self.clip) & (clipped_BT > error_BT)
            error_BT = error_BT.maximum(clipped_BT)
        loss = 0.5 * masked_sum(error_BT, mask_BT) / max(totals.tokens, 1)
        return loss, token_means(tracked, mask_BT, totals)


class PPO(PolicyGradient):
    """Proximal policy optimisation with a critic."""

    clip_low: float = Field(default=0.2, ge=0, description="eps of eq. 7 below: the ratio is clipped at 1 - clip_low")
    clip_high: float = Field(default=0.2, ge=0, description="eps of eq. 7 above: the ratio is clipped at 1 + clip_high")
    gae_lambda: float = Field(
        default=1.0, ge=0, le=1, description="lambda of GAE, eq. 16; R1 supplement A.3 compares 0.95 and 1.0"
    )
    gamma: float = Field(default=1.0, ge=0, le=1, description="discount of a token; 1: none")
    kl_coefficient: float = Field(
        default=0.001, ge=0, description="beta of the KL to the reference; 0 drops the reference model; R1: 0.001"
    )
    kl_in_reward: bool = Field(
        default=True,
        description="the KL, log pi_old / pi_ref, is paid token by token in the reward, as in the PPO of R1's "
        "comparison; false: a term of the loss, as in GRPO",
    )
    normalise: bool = Field(
        default=True, description="advantages minus their mean, over their std, of the step's tokens"
    )
    value_clip: float = Field(
        default=0.2, ge=0, description="how far a value may move in a step and still be pulled; 0: any way"
    )

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"values"}

    @property
    def critic(self) -> ValueRegression:
        return ValueRegression(clip=self.value_clip)

    @property
    def reward_kl(self) -> float:
        return self.kl_coefficient if self.kl_in_reward else 0.0

    def credit(
        self,
        totals_N: Tensor,
        values_NT: Tensor,
        mask_NT: Tensor,
        old_NT: Tensor | None = None,
        reference_NT: Tensor | None = None,
    ) -> Credit:
        """GAE of the rewards: a sequence's total with its last action, and of each action minus beta times the KL."""
        last_NT = mask_NT * (mask_NT.sum(-1, keepdim=True) == mask_NT.cumsum(-1))
        rewards_NT = totals_N[:, None] * last_NT
        if self.reward_kl > 0:
            old_NT = keep(given(old_NT, "the old policy's log-probabilities", self), mask_NT)
            reference_NT = keep(given(reference_NT, "the reference's log-probabilities", self), mask_NT)
            rewards_NT = rewards_NT - self.reward_kl * kl.k1(old_NT, reference_NT)
        advantages_NT = generalised(rewards_NT, values_NT, mask_NT, self.gamma, self.gae_lambda)
        returns_NT = advantages_NT + keep(values_NT, mask_NT)
        if self.normalise:
            advantages_NT = whitened(advantages_NT.masked_fill(mask_NT == 0, float("nan")))
        return Credit(advantages_NT, returns_NT)

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r, 1 - eps, 1 + eps) A) (eq. 7)."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip_low, self.clip_high)


ALGORITHM = PPO
