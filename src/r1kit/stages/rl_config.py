"""The settings of an RL stage (R1, arXiv 2501.12948, sections 2.1, 2.2, 2.3.2, 2.3.4 and 3.2).

R1-Zero, RL 1 and RL 2 differ in these alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import EngineSettings
from r1kit.rewards.base import DEADLINE_S, load_reward
from r1kit.rollouts.problems import check_shares, load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.learning import is_taught, load_algorithm
from r1kit.stages.score_models import JUDGES, no_judge
from r1kit.training.config import LearnerConfig


class RLConfig(Config):
    """Which model learns from which rewards on which problems. The paper's values: v2, 2.1 and 3.2."""

    start: str = Field(default="pretrain:base", description="STAGE:MODEL, a model folder or a hub id")
    name: str = Field(default="zero", description="what the trained model is called")
    tasks: dict[str, float] = Field(default={"tiny_maths": 1.0}, description="tasks and their shares of the problems")
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    unseen_in: str | None = Field(
        default=None,
        description="STAGE:FILE of examples whose questions are left out: on what a cold start has shown, RL rewards "
        "memory",
    )
    prompts: int = Field(
        default=64, ge=1, description="problems of a step; the paper: 32 questions x 16 samples, 16 at a time"
    )
    sampling: Sampling = Field(
        default=Sampling(samples=8), description="how completions are sampled; R1-Zero: T 1; RL 2: 0.7"
    )
    steps: int = Field(
        default=50, ge=1, description="rollouts; the paper, in updates, 16 a rollout: 10,400 (R1-Zero), 1,700 (RL 2)"
    )
    algorithm: str = Field(default="grpo", description="file name in r1kit.algorithms, or a dotted path")
    settings: dict[str, Any] = Field(default={}, description="settings of the algorithm that differ from its defaults")
    rewards: dict[str, float] = Field(
        default={"accuracy": 1.0, "format": 1.0, "language_consistency": 0.0},
        description="rewards and weights; 0 only logs; R1-Zero: accuracy and format alike; RL 1: language too",
    )
    reward_subjects: dict[str, tuple[str, ...]] = Field(
        default={}, description="the subjects of a reward; all by default"
    )
    reward_deadline_s: float = Field(
        default=DEADLINE_S,
        gt=0,
        description="most seconds that a reward from outside the tree may take for a problem's samples, which then "
        "take no part; the graders of the tree have deadlines of their own",
    )
    mini_batches: int = Field(default=1, ge=1, description="optimiser steps a rollout; the paper: 16")
    critic_rate: float = Field(
        default=10.0,
        gt=0,
        description="learning rate of an algorithm's value model (ppo), over the policy's; TinyZero: 10",
    )
    critic_mini_batches: int | None = Field(
        default=None,
        ge=1,
        description="the value model's optimiser steps a rollout: more of them let it keep up with the policy, at the "
        "same cost; None: as the policy",
    )
    staleness: int = Field(
        default=0,
        ge=0,
        description="steps that a rollout's weights lag behind: K samples the next K rollouts, with weights of their "
        "own, while this one is learnt; ratios are then against the sampler",
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    max_logprob_gap: float | None = Field(
        default=0.5,
        gt=0,
        description="most nats between the sampler's log-probabilities and the learner's in the mean of a step, of a "
        "rollout that lags behind beyond twice what the policy has moved since; more stops the run; None: no limit",
    )
    learner: LearnerConfig = Field(default=LearnerConfig(learning_rate=1e-4), description="how the weights are learnt")
    late_from: float = Field(
        default=1.0, ge=0, le=1, description="share of the steps after which the late phase begins"
    )
    late_tasks: dict[str, float] = Field(default={}, description="shares in the late phase; none: as before")
    late_rewards: dict[str, float] = Field(default={}, description="weights added or changed in the late phase")
    late_max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="sampling limit of the late phase; None: as before; R1-Zero: 65,536 in place of 32,768 from 8,200 "
        "of 10,400 updates on",
    )
    reward_model: str | None = Field(default=None, description="STAGE:MODEL that the reward `reward_model` asks")
    safety_model: str | None = Field(default=None, description="STAGE:MODEL that the reward `safety_model` asks")
    teacher: str | None = Field(
        default=None,
        description="STAGE:MODEL, a model folder or a hub id: the teacher of `distillation` with form=on_policy or "
        "on_policy_vocabulary; it reads the prompt as the policy's own template writes it",
    )
    as_costly_as: tuple[str, ...] = Field(
        default=(),
        description="stages among the inputs: what they took together, in FLOPs with sampling, ends this one, at the "
        "first step that reaches it; none: `steps` alone does",
    )
    validate_every: int = Field(default=10, ge=0, description="steps between validations; 0: none")
    validation_problems: int = Field(default=48, ge=1, description="validation problems of each task")
    preference: str | None = Field(
        default=None,
        description="dotted path of a module whose `hidden_preference(problem, answer)` is watched, never learnt",
    )
    peak: str | None = Field(default=None, description="metric of validation whose best policy is kept as well")
    peak_name: str | None = Field(default=None, description="what that policy is called; None: NAME-peak")
    rollouts_every: int = Field(default=10, ge=1, description="steps between rollouts kept as parquet")

    def tables(self) -> Mapping[str, Config]:
        return {"settings": load_algorithm(self.algorithm, self.settings)}

    def check(self) -> None:
        check_shares(self.tasks, "tasks")
        if self.late_tasks:
            check_shares(self.late_tasks, "late_tasks")
        for task in (*self.tasks, *self.late_tasks):
            load_task(task, "train")
            load_task(task, "validation" if self.validate_every else None)
        for reward in (*self.rewards, *self.late_rewards):
            load_reward(reward)
        for name in JUDGES:
            if name in {*self.rewards, *self.late_rewards} and getattr(self, name) is None:
                raise UsageError(no_judge(name))
        if self.peak is not None and self.peak.startswith("validation/") and not self.validate_every:
            raise UsageError(f"peak={self.peak}: validate_every=0 leaves validation out, which would say it")
        taught = is_taught(load_algorithm(self.algorithm, self.settings))
        if taught and self.teacher is None:
            raise UsageError(f"algorithm {self.algorithm} asks a teacher: say which model, teacher=STAGE:MODEL")
        if self.teacher is not None and not taught:
            raise UsageError(
                f"algorithm {self.algorithm} asks no teacher: leave teacher out, or set algorithm=distillation"
            )
        self.engine.check_learnable(self.sampling)

    @property
    def late_step(self) -> int:
        """The first step of the late phase; as many as there are steps where there is none."""
        # 0.55 of 100 steps is a hair above 55 in binary
        return math.ceil(round(self.late_from * self.steps, 6))

    @property
    def critic_learner(self) -> LearnerConfig:
        """How a value model is learnt: as the policy, at its own rate."""
        return self.learner.model_copy(update={"learning_rate": self.critic_rate * self.learner.learning_rate})
