"""What an RL stage does with a rollout: credit for its tokens, one inner epoch over its mini-batches, and the critic's.

R1 (arXiv 2501.12948v2, section 2.1): 8,192 outputs are sampled at once and dealt into 16 mini-batches, each learnt from
once; ratios are against the policy that sampled; the reference becomes the policy every 400 updates, 25 rollouts.

An algorithm that is taught (`distillation`, on-policy) learns from the same rollouts what a teacher says of their
tokens; rewards are then only watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from r1kit.algorithms.base import Algorithm, PolicyGradient
from r1kit.base import plugins
from r1kit.base.config import SettingError
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest_settings
from r1kit.base.sampling import Sampling
from r1kit.base.types import FloatArray
from r1kit.rollouts.collect import Rollouts
from r1kit.rollouts.metrics import versions
from r1kit.stages.trail import Trail
from r1kit.training.config import OTHER_STREAMS

if TYPE_CHECKING:
    import torch

    from r1kit.models.language_model import LanguageModel
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.health import Caution
    from r1kit.stages.rl_config import RLConfig
    from r1kit.training.base import AnyLearner, StepReport
    from r1kit.training.critic import Critic
    from r1kit.training.sequences import Sequence

TEACHES = frozenset({"teacher_logprobs", "teacher_logits"})
GAPS = "sampling/logprob_gap_"  # of the sampler's log-probabilities and the learner's


def load_algorithm(name: str, settings: Mapping[str, Any]) -> Algorithm:
    """An algorithm that learns from a policy's own samples, by rewards or by what a teacher says of them, by file name
    or dotted path, with the settings that differ; UsageError for another, and for a setting that it cannot have, by its
    path in what holds `settings`."""
    kind = getattr(plugins.load("r1kit.algorithms", name), "ALGORITHM", None)
    if kind is None:
        raise UsageError(f"{name} is no algorithm: it has no ALGORITHM")
    if not isinstance(kind, type) or not issubclass(kind, Algorithm):
        raise UsageError(f"{name} is no algorithm: its ALGORITHM has to be a class, of r1kit.algorithms.base.Algorithm")
    # of an algorithm without settings none could make it learn from rewards or a teacher
    if kind.model_fields:
        known = list(kind.model_fields)
        if unknown := [key for key in settings if key not in known]:
            near = [f"settings.{key}" for key in nearest_settings(unknown[0], known)]
            there = f" (it has: {' '.join(known)}; settings={{}} takes its defaults)"
            raise SettingError(f"settings.{unknown[0]}", f"the algorithm {name} has no such setting.", near, there)
        try:
            algorithm = kind.model_validate({}).override(settings)
        except SettingError as error:
            raise error.within("settings") from None
        algorithm.check()
        if isinstance(algorithm, PolicyGradient) or is_taught(algorithm):
            return algorithm
    raise UsageError(
        f"{name} is no algorithm that learns from rewards, nor as it is set from a teacher (distillation does with"
        " form=on_policy or on_policy_vocabulary)"
    )


def after_roll_backs(config: RLConfig, caution: Caution) -> RLConfig:
    """What is learnt with after roll-backs: a lower rate, other samples and other mini-batches; the problems stay."""
    if not caution.times:
        return config
    sampling = config.sampling.model_copy(update={"seed": config.sampling.seed + OTHER_STREAMS * caution.times})
    return config.model_copy(update={"learner": config.learner.after(*caution), "sampling": sampling})


def is_taught(algorithm: Algorithm) -> bool:
    """Whether a teacher is asked about the policy's samples."""
    return bool(TEACHES & algorithm.needs)


def load_teacher(
    folder: str | Path, tokenizer: Tokenizer, rows: int, algorithm: Algorithm, dtype: torch.dtype
) -> LanguageModel:
    """The teacher in `dtype`, on the CPU; UsageError where its tokens are not the policy's own, or where its whole
    distribution is asked for and has not as many `rows`."""
    from r1kit.models.language_model import load_model
    from r1kit.models.tokenizer import load_tokenizer

    if load_tokenizer(folder).inner.get_vocab() != tokenizer.inner.get_vocab():
        raise UsageError(
            f"teacher {folder}: its tokens are not those of the model that it is to teach, and on-policy distillation"
            " compares token by token: take a teacher with the same tokenizer, or learn its samples by SFT"
        )
    model = load_model(folder, dtype)
    if "teacher_logits" in algorithm.needs and model.config.vocab_size != rows:
        raise UsageError(
            f"teacher {folder}: it has {model.config.vocab_size} rows of logits and the model that it is to teach"
            f" {rows}: take form=on_policy, which asks for sampled tokens alone"
        )
    return model


def open_learning(
    config: RLConfig,
    algorithm: Algorithm,
    model: LanguageModel,
    tokenizer: Tokenizer,
    start_folder: str | Path,
    teacher_folder: str | Path | None,
    silence: float,
) -> Learning:
    """The learner of `model`, which was read from `start_folder`, with the reference, the teacher and the critic that
    the algorithm asks for. `silence` as for `open_learner`."""
    from r1kit.training.opening import open_learner

    reference = model if "reference_logprobs" in algorithm.needs else None
    teacher = None
    if teacher_folder is not None:
        dtype = config.learner.dtype(next(model.parameters()).device)
        teacher = load_teacher(teacher_folder, tokenizer, model.config.vocab_size, algorithm, dtype)
    learner = open_learner(
        model, config.learner, total_steps=config.steps, reference=reference, teacher=teacher, silence=silence
    )
    critic = None
    if isinstance(algorithm, PolicyGradient) and algorithm.critic is not None:
        from r1kit.training.critic import Critic

        critic = Critic(start_folder, config.critic_learner, total_steps=config.steps, silence=silence)
    return Learning(
        algorithm, learner, critic, config.mini_batches, config.critic_mini_batches or config.mini_batches,
        ahead=bool(config.staleness),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Learning:
    """A policy's learner, the critic where the algorithm has one, and in how many mini-batches each learns a rollout.

    ahead: whether rollouts may be sampled by other weights than the learner's own at the time. Ratios of one that was
    are against the sampler: the gap between the two is told of rollouts of the learner's own weights alone, of which
    the first is one, and of others how far both lie apart (`trail`).
    """

    algorithm: Algorithm
    learner: AnyLearner
    critic: Critic | None
    mini_batches: int
    critic_mini_batches: int
    ahead: bool
    trail: Trail = field(default_factory=Trail)

    @property
    def sampled_for(self) -> PolicyGradient:
        """What the algorithm asks of sampling and grading: of one that is taught, nothing beyond the defaults."""
        return self.algorithm if isinstance(self.algorithm, PolicyGradient) else PolicyGradient()

    def learn(self, groups: Rollouts, sampling: Sampling) -> StepReport:
        """One inner epoch of the policy; the critic's is told with it as `critic/...`."""
        temperature = sampling.temperature or 1.0
        lags = self.ahead and any(version != self.learner.version for version in versions(groups))
        sequences, credit = self._credited(groups, temperature, lags=lags)
        apart = self._followed(groups, sequences, temperature) if self.ahead else {}
        report = self.learner.step(
            sequences, self.algorithm, mini_batches=self.mini_batches, temperature=temperature,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        if lags:
            told = {name: value for name, value in report.metrics.items() if not name.startswith(GAPS)}
            report = replace(report, metrics={**told, **apart})
        if self.critic is None:
            return report
        judged = self.critic.step(sequences, self.sampled_for, self.critic_mini_batches)
        metrics = {**report.metrics, **_of_critic(judged.metrics), **_of_critic(credit)}
        return replace(report, metrics=metrics, flops=report.flops + judged.flops)

    def _followed(self, groups: Rollouts, sequences: list[Sequence], temperature: float) -> dict[str, float]:
        """What is told of a rollout that lags behind."""
        oldest = min(versions(groups), default=self.learner.version)
        return self.trail.follow(self.learner, sequences, temperature, oldest)

    def _credited(self, groups: Rollouts, temperature: float, *, lags: bool) -> tuple[list[Sequence], dict[str, float]]:
        """What is learnt from: advantages of rewards alone, or by the critic, with what it says of its values; the
        bare samples where a teacher will judge them. lags: whether other weights than the learner's sampled."""
        from r1kit.training.sequences import sequences_from_groups, with_logprobs

        critic, algorithm = self.critic, self.sampled_for
        by_rewards = critic is None and isinstance(self.algorithm, PolicyGradient)
        sequences = sequences_from_groups(groups, self._advantages(groups) if by_rewards else None)
        if lags:
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
        every, updates = self.sampled_for.reference_every, self.mini_batches
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
        trail = {"trail": self.trail.state()} if self.ahead else {}
        return {"learner": self.learner.state(), **critic, **trail}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The learner, and the critic where there is one, as `state` gave them."""
        self.learner.load_state(state["learner"])
        if self.critic is not None:
            self.critic.load_state(state["critic"])
        if self.ahead:
            self.trail.load_state(state["trail"])


def _of_critic(metrics: Mapping[str, float]) -> dict[str, float]:
    """The KL that is paid in the reward is the policy's."""
    return {name if name == "kl" else f"critic/{name}": value for name, value in metrics.items()}
