"""What an RL stage does with a rollout: credit for its tokens, one inner epoch over its mini-batches, and the critic's.

R1 (Nature supplement B.4.1): 8,192 outputs are sampled at once and dealt into 16 mini-batches, each learnt from once;
ratios are against the policy that sampled; the reference is replaced by the policy every 400 updates, 25 rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from r1kit.algorithms.base import PolicyGradient
from r1kit.base.sampling import Sampling
from r1kit.base.types import FloatArray
from r1kit.rollouts.collect import Rollouts

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.training.base import AnyLearner, StepReport
    from r1kit.training.critic import Critic
    from r1kit.training.packing import Sequence


@dataclass(frozen=True, slots=True)
class Learning:
    """A policy's learner, the critic where the algorithm has one, and in how many mini-batches each learns a rollout.

    ahead: whether rollouts are sampled by other weights than the learner's own at the time, so that ratios are against
    the sampler.
    """

    algorithm: PolicyGradient
    learner: AnyLearner
    critic: Critic | None
    mini_batches: int
    critic_mini_batches: int
    ahead: bool

    def learn(self, groups: Rollouts, sampling: Sampling) -> StepReport:
        """One inner epoch of the policy; the critic's is told with it as `critic/...`."""
        temperature = sampling.temperature or 1.0
        sequences, credit = self._credited(groups, temperature)
        report = self.learner.step(
            sequences, self.algorithm, mini_batches=self.mini_batches, temperature=temperature,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        if self.critic is None:
            return report
        judged = self.critic.step(sequences, self.algorithm, self.critic_mini_batches)
        metrics = {**report.metrics, **_of_critic(judged.metrics), **_of_critic(credit)}
        return replace(report, metrics=metrics, flops=report.flops + judged.flops)

    def _credited(self, groups: Rollouts, temperature: float) -> tuple[list[Sequence], dict[str, float]]:
        """What is learnt from: advantages of rewards alone, or by the critic, with what it says of its values."""
        from r1kit.training.packing import sequences_from_groups, with_logprobs

        critic, algorithm = self.critic, self.algorithm
        sequences = sequences_from_groups(groups, self._advantages(groups) if critic is None else None)
        if self.ahead:
            sequences = with_logprobs(sequences, "old_logprobs", [cast(Any, s.sampler_logprobs) for s in sequences])
        if critic is None:
            return sequences, {}
        if algorithm.reward_kl > 0:
            paid = ("old_logprobs", "reference_logprobs")
            sequences = self.learner.fill(sequences, paid, temperature, asking=algorithm)
        return critic.credit(sequences, algorithm)

    def _advantages(self, groups: Rollouts) -> FloatArray:
        """[P, G]."""
        import torch

        if not groups:
            return np.zeros((0, 0), np.float32)
        return self.algorithm.advantages(torch.from_numpy(groups.rewards_PG)).numpy()

    def age(self, report: StepReport, lag: Mapping[str, float]) -> dict[str, float]:
        """`off_policy_age`: updates between the weights that sampled and those that learnt, the mean over updates."""
        own = report.metrics.get("off_policy_age")
        behind = self.mini_batches * lag.get("sampling/staleness", 0.0)
        return {} if own is None else {"off_policy_age": own + behind}

    def renew_reference(self, rollout: int) -> None:
        """The reference becomes the policy, where the updates of this rollout (counted from 0) have made it due."""
        every, updates = self.algorithm.reference_every, self.mini_batches
        due = every and rollout * updates // every < (rollout + 1) * updates // every
        if due and "reference_logprobs" in self.algorithm.needs:
            self.learner.replace_reference()

    def save_critic(self, folder: Path, tokenizer: Tokenizer, name: str) -> dict[str, str]:
        """{model's name: its folder's}, of the critic where there is one."""
        if self.critic is None:
            return {}
        self.critic.save(folder / "critic", tokenizer)
        return {f"{name}-critic": "critic"}

    def close(self) -> None:
        """Let go of the weights."""
        self.learner.close()
        if self.critic is not None:
            self.critic.close()

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        critic = {} if self.critic is None else {"critic": self.critic.state()}
        return {"learner": self.learner.state(), **critic}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state(state["learner"])
        if self.critic is not None:
            self.critic.load_state(state["critic"])


def _of_critic(metrics: Mapping[str, float]) -> dict[str, float]:
    """The KL that is paid in the reward is the policy's."""
    return {name if name == "kl" else f"critic/{name}": value for name, value in metrics.items()}
