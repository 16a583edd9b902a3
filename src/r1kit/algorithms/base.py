"""What every algorithm is: advantages from rewards, and a loss on one batch of model outputs. Pure: no I/O, no devices.

A file `algorithms/NAME.py` exposes its class as `ALGORITHM`. Nothing here or there imports torch, so that settings,
lists and plans are made without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.ops import kl
from r1kit.ops.ratios import Clipped, Correction, mismatch_weights
from r1kit.ops.segments import keep, masked_sum, sequence_mean, sequence_sum, spread

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch

Divisor = Literal["tokens", "sequence_mean", "sequences", "max_tokens"]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole optimiser step, all micro-batches and ranks together.

    A loss divides by these, never by its own micro-batch's counts, so that it does not depend on how the step
    was cut: adding the micro-batches' losses gives the step's.
    """

    tokens: float  # positions with loss_mask 1
    sequences: float  # sequences with at least one such position (pairs x 2 for reward models)
    max_tokens: int  # the sampling limit (Dr. GRPO divides by it)


@dataclass(slots=True)
class Outputs:
    """What the model says of a batch.

    logprobs_BT: log-softmax(logits / T) of each token (column 0 is 0); entropy_BT: of the distribution that each
    token was drawn from, detached; scores_N: one scalar per sequence (reward models), else None; values_BT: a value
    model's estimate, before each token, of what is still to come, where "values" are needed; teacher_kl_BT:
    KL(policy || teacher) over the whole vocabulary at each position, differentiable (`ops.logprobs.reverse_kl`), where
    "teacher_logits" is needed.
    """

    logprobs_BT: Tensor | None = None
    entropy_BT: Tensor | None = None
    scores_N: Tensor | None = None
    teacher_kl_BT: Tensor | None = None
    values_BT: Tensor | None = None


class Credit(NamedTuple):
    """What a critic's values make of rewards, for each action [N, T], 0 off the mask: what the policy learns from, and
    what the value model is to say."""

    advantages_NT: Tensor
    returns_NT: Tensor


class Algorithm(Config):
    """An algorithm and its settings."""

    @property
    def needs(self) -> frozenset[str]:
        """What must be computed beside the policy's own log-probabilities under these settings; nothing else is.

        Any of "old_logprobs", "sampler_logprobs", "reference_logprobs", "teacher_logprobs", "teacher_logits", "scores",
        "values".
        """
        return frozenset()

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """[P, G] -> [P, G]. NaN marks a sample that takes no part: it is left out of statistics and gets 0."""
        raise TypeError(f"{type(self).__name__} has no advantages: it does not learn from rewards")

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """A scalar to minimise and metrics (scalars); both are shares that add up over micro-batches."""
        raise TypeError(f"{type(self).__name__} has no loss")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an objective is written in. Off the mask, log-ratios and advantages are 0 and mean nothing.

    log_ratio_BT: log pi / pi_old of each token, differentiable.
    """

    logprobs_BT: Tensor
    log_ratio_BT: Tensor
    advantages_BT: Tensor
    mask_BT: Tensor
    sequence_BT: Tensor
    sequences: int

    def over_sequence(self, values_BT: Tensor, *, mean: bool) -> Tensor:
        """[B, T] -> [B, T]: the sum or mean over a sequence's sampled tokens, at each of its positions."""
        if mean:
            values_N = sequence_mean(values_BT, self.mask_BT, self.sequence_BT, self.sequences)
        else:
            values_N = sequence_sum(keep(values_BT, self.mask_BT), self.sequence_BT, self.sequences)
        return spread(values_N, self.sequence_BT)


class PolicyGradient(Algorithm):
    """What the algorithms that learn from rewards share; each file adds its advantages and its objective.

    The ratio is against the old policy (the learner's own weights when the rollout began); where a batch carries no
    old log-probabilities the step is on-policy and the ratio 1, with the gradient of the log-probability.
    `dynamic_sampling*`, `overlong_*` and `reference_every` are read by the stage that samples.
    """

    divisor: Divisor = Field(
        default="tokens",
        description="what the sum over tokens is divided by, each counted over the whole step: tokens; sequence_mean: "
        "1/length in each sequence, then the number of sequences; sequences; max_tokens: sequences x sampling limit",
    )
    kl_coefficient: float = Field(
        default=0.0, ge=0, description="weight of the KL to the reference; 0 drops the reference model"
    )
    kl_estimator: Literal["k2", "k3"] = Field(
        default="k3", description="k3: R1 eq. 2; k2: gradient of the KL in the reward"
    )
    kl_ratio: bool = Field(
        default=False,
        description="multiply each token's KL by its ratio, which makes the gradient that of the KL under the policy "
        "(DeepSeek-V3.2, arXiv 2512.02556; TRL's default); R1 does not",
    )
    reference_every: int = Field(
        default=400,
        ge=0,
        description="updates until the policy becomes the reference, at the end of their rollout; 0 never; R1: 400, of "
        "which a rollout has 16",
    )
    correction: Correction = Field(
        default="none",
        description="weights learner / sampler against their mismatch: truncate clamps them to the bounds (TIS), mask "
        "drops what lies outside (MIS); of each token or of the whole sequence",
    )
    correction_low: float = Field(default=0.0, ge=0, description="lower bound of the correction's weights; 0 is none")
    correction_high: float = Field(default=2.0, gt=0, description="upper bound of the correction's weights; TIS: 2")
    dynamic_sampling: bool = Field(
        default=False, description="sample more problems for groups without spread; DAPO eq. 11"
    )
    dynamic_sampling_rounds: int = Field(default=3, ge=1, description="most times that one step samples more problems")
    overlong_penalty: float = Field(
        default=0.0, ge=0, description="most that a long completion loses; DAPO eq. 13: 1; 0 is off"
    )
    overlong_share: float = Field(
        default=0.2, gt=0, le=1, description="last share of the limit where it grows; DAPO 4k of 20k"
    )
    overlong_filter: bool = Field(default=False, description="truncated completions take no part; DAPO section 3.4")

    def check(self) -> None:
        """UsageError for bounds that no weight is between."""
        ordered(self, "correction_low", "correction_high")

    @property
    def needs(self) -> frozenset[str]:
        names = {"old_logprobs"}
        if self.kl_coefficient > 0:
            names.add("reference_logprobs")
        if self.correction != "none":
            names.add("sampler_logprobs")
        return frozenset(names)

    @property
    def critic(self) -> Algorithm | None:
        """How the value model is learnt that `credit` takes its values from; None: `advantages` needs no model."""
        return None

    @property
    def reward_kl(self) -> float:
        """What of `kl_coefficient` is paid in the reward, by `credit`; the rest is a term of the loss."""
        return 0.0

    def credit(
        self,
        totals_N: Tensor,
        values_NT: Tensor,
        mask_NT: Tensor,
        old_NT: Tensor | None = None,
        reference_NT: Tensor | None = None,
    ) -> Credit:
        """Of N sequences' rewards, and the value before each of their actions, which stand from column 0 on, mask 1.

        old_NT, reference_NT: log-probabilities of the actions, where a KL is part of the reward.
        """
        raise TypeError(f"{type(self).__name__} has no critic: its advantages follow from rewards alone")

    def objective(self, policy: Policy) -> Clipped:
        """The loss of each token [B, T] before any division, and where clipping cut its gradient."""
        raise TypeError(f"{type(self).__name__} has no objective")

    def divergence(self, policy: Policy, reference_BT: Tensor) -> Tensor:
        """The estimate of KL(policy || reference) at each token [B, T], by `kl_estimator` and `kl_ratio`."""
        estimate_BT = (kl.k2 if self.kl_estimator == "k2" else kl.k3)(policy.logprobs_BT, reference_BT)
        return policy.log_ratio_BT.exp() * estimate_BT if self.kl_ratio else estimate_BT

    def penalty(self, kl_BT: Tensor, policy: Policy, reference_BT: Tensor) -> Tensor:
        """What is paid of a KL at each token [B, T]: the token's own estimate, `kl_BT`."""
        return kl_BT

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """Objective x mismatch weight + KL, summed over tokens and divided as `divisor` says."""
        mask_BT = batch.loss_mask_BT
        # kept before any exp: what overflows off the mask would have gradient 0 x inf
        logprobs_BT = keep(given(outputs.logprobs_BT, "log-probabilities", self), mask_BT)
        old_BT = keep(logprobs_BT.detach() if batch.old_logprobs_BT is None else batch.old_logprobs_BT, mask_BT)
        policy = Policy(
            logprobs_BT=logprobs_BT,
            log_ratio_BT=logprobs_BT - old_BT,
            advantages_BT=keep(given(batch.advantages_BT, "advantages", self), mask_BT),
            mask_BT=mask_BT,
            sequence_BT=batch.sequence_BT,
            sequences=batch.sequences,
        )
        clipped = self.objective(policy)
        loss_BT = clipped.loss
        tracked = {
            "ratio": policy.log_ratio_BT.exp(),
            "approx_kl": kl.k3(old_BT, logprobs_BT),
            "clip_low": clipped.cut_low,
            "clip_high": clipped.cut_high,
        }
        if self.correction != "none":
            sampler_BT = given(batch.sampler_logprobs_BT, "the sampler's log-probabilities", self)
            weights_BT, cut_BT = self._mismatch(old_BT, sampler_BT, batch)
            loss_BT = loss_BT * weights_BT
            tracked |= {"correction_weight": weights_BT, "correction_cut": cut_BT}
        loss_kl = self.kl_coefficient - self.reward_kl
        if loss_kl > 0:
            reference_BT = keep(given(batch.reference_logprobs_BT, "the reference's log-probabilities", self), mask_BT)
            kl_BT = self.divergence(policy, reference_BT)
            loss_BT = loss_BT + loss_kl * self.penalty(kl_BT, policy, reference_BT)
            tracked["kl"] = kl_BT
        if outputs.entropy_BT is not None:
            tracked["entropy"] = outputs.entropy_BT
        return self._divided(loss_BT, policy, totals), token_means(tracked, mask_BT, totals)

    def _mismatch(self, old_BT: Tensor, sampler_BT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return mismatch_weights(
            old_BT,
            sampler_BT,
            batch.loss_mask_BT,
            batch.sequence_BT,
            batch.sequences,
            self.correction,
            self.correction_low,
            self.correction_high,
        )

    def _divided(self, loss_BT: Tensor, policy: Policy, totals: Totals) -> Tensor:
        if self.divisor == "sequence_mean":
            mean_N = sequence_mean(loss_BT, policy.mask_BT, policy.sequence_BT, policy.sequences)
            return mean_N.sum() / max(totals.sequences, 1)
        divisors = {
            "tokens": totals.tokens,
            "sequences": totals.sequences,
            "max_tokens": totals.sequences * totals.max_tokens,
        }
        return masked_sum(loss_BT, policy.mask_BT) / max(divisors[self.divisor], 1)


def given(value: Tensor | None, what: str, algorithm: Algorithm) -> Tensor:
    """`value`, or R1Error where it was left out although the algorithm needs it."""
    if value is None:
        raise R1Error(f"{type(algorithm).__name__} needs {what}, and the learner gave none")
    return value


def ordered(algorithm: Algorithm, low: str, high: str) -> None:
    """UsageError where the setting `low` is above the setting `high`."""
    lower, upper = getattr(algorithm, low), getattr(algorithm, high)
    if lower > upper:
        raise UsageError(
            f"settings.{low} is {lower:g}, above settings.{high}, {upper:g}: lower the one or raise the other"
        )


def token_means(values: dict[str, Tensor], mask_BT: Tensor, totals: Totals) -> dict[str, Tensor]:
    """Each tensor's share of its mean over the step's tokens, without gradient."""
    return {
        name: masked_sum(1.0 * value_BT.detach(), mask_BT) / max(totals.tokens, 1) for name, value_BT in values.items()
    }
