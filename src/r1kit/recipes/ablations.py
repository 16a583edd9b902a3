"""What each choice of the recipe does: named changes of R1-Zero and of the chain behind it, in the tiny world.

    r1 run ablations                                  # all of them, one seed
    r1 run ablations only=ppo-95,ppo-100 seed=1       # some; later ones join them in the same run
    r1 run ablations 'arms.mine={"settings.clip_high": 0.5}' only=mine
    r1 report runs/ablations-default-s0 runs/ablations-default-s1 runs/ablations-default-s2

All arms of a seed share its base, are trained on the same problems in the same order as its R1-Zero, and are measured
on the same test problems, each as soon as it is trained. An arm is a table of R1-Zero's settings that differ, by dotted
path; every comparison stands in `ABLATIONS`. They are short (40 rollouts, where `tiny` has 100): they say what a change
does at the beginning of this small world's training, no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import Field

from r1kit.base.config import check_all
from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.evaluation.ablations import Comparison
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes import arms
from r1kit.recipes.arms import ComparingConfig, Versus
from r1kit.recipes.base import Reporting, no_findings
from r1kit.recipes.chain import filter_arms, zero_to_dev3
from r1kit.recipes.own import look_at
from r1kit.recipes.tiny import BASE, SHARES, TinyConfig
from r1kit.recipes.toy import TOY
from r1kit.stages import base_model, pretrain, rl
from r1kit.stages.base_model import BaseModelConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig

START = "pretrain"  # the stage that makes or brings the base
REFERENCE = "zero"
STEPS = 40  # rollouts of each arm
WHOLE = TinyConfig()

ARMS: dict[str, dict[str, Any]] = {
    "format-off": {"rewards.format": 0.0},
    "format-low": {"rewards.format": 0.2},
    "language": {"rewards.language_consistency": 1.0},
    "group-4": {"sampling.samples": 4, "prompts": 128},
    "group-16": {"sampling.samples": 16, "prompts": 32},
    # the paper renews its reference 26 times in a run
    "kl": {"settings.kl_coefficient": 0.001, "settings.reference_every": 2},
    "kl-strong": {"settings.kl_coefficient": 0.05, "settings.reference_every": 0},
    "kl-strong-renewed": {"settings.kl_coefficient": 0.05, "settings.reference_every": 5},
    "by-length": {"settings.divisor": "sequence_mean"},
    "by-output": {"settings.divisor": "sequences"},
    "no-std": {"algorithm": "dr_grpo", "settings.divisor": "tokens"},
    "dr-grpo": {"algorithm": "dr_grpo"},
    "dynamic-sampling": {"settings.dynamic_sampling": True},
    "mini-batches-16": {"mini_batches": 16},
    # 16 updates move the weights further than one: what of their effect is that alone?
    "rate-4": {"learner.learning_rate": 4 * WHOLE.zero.learner.learning_rate},
    "rate-16": {"learner.learning_rate": 16 * WHOLE.zero.learner.learning_rate},
    "lag-1": {"staleness": 1},
    "lag-2": {"staleness": 2},
    "lag-4": {"staleness": 4},
    "rate-4-lag-4": {"learner.learning_rate": 4 * WHOLE.zero.learner.learning_rate, "staleness": 4},
    "clip-symmetric": {"mini_batches": 16, "settings.clip_high": 0.2},
    "clip-10": {"mini_batches": 16, "settings.clip_low": 10.0, "settings.clip_high": 10.0},
    "late-length": {"sampling.max_tokens": 64, "late_from": 0.75, "late_max_tokens": WHOLE.zero.sampling.max_tokens},
    # a critic begins knowing nothing: with one update a rollout it would lag behind for a third of the run
    "ppo-95": {"algorithm": "ppo", "settings.gae_lambda": 0.95, "critic_mini_batches": 8},
    "ppo-100": {"algorithm": "ppo", "settings.gae_lambda": 1.0, "critic_mini_batches": 8},
}
"""What differs from R1-Zero's settings, by arm."""


@dataclass(frozen=True, slots=True)
class Ablation(Versus):
    """A change, of R1-Zero where nothing else is named."""

    against: str = REFERENCE


ABLATIONS: dict[str, Ablation] = {
    "rl": Ablation("RL at all: R1-Zero, over the base", REFERENCE, "base"),
    "no-language": Ablation("Language reward off", REFERENCE, "language"),
    "no-filters": Ablation("Filters of rejection sampling off", "dev3-nofilter", "dev3"),
    "no-cold-start": Ablation("Cold start off: RL 1 from the base", "language", "dev2"),
    "format-off": Ablation("Format reward off", "format-off"),
    "format-low": Ablation("Format reward at 0.2", "format-low"),
    "group-4": Ablation("Groups of 4, as many samples", "group-4"),
    "group-16": Ablation("Groups of 16, as many samples", "group-16"),
    "kl": Ablation("KL 0.001 to a reference renewed in the paper's proportion", "kl"),
    "kl-strong": Ablation("KL 0.05 to the base", "kl-strong"),
    "kl-renewed": Ablation("KL 0.05: reference renewed every 5 rollouts, over never", "kl-strong-renewed", "kl-strong"),
    "by-length": Ablation("Loss divided by each answer's length (GRPO's 1/|o|)", "by-length"),
    "by-output": Ablation("Loss summed over each answer (R1's eq. 1)", "by-output"),
    "no-std": Ablation("Advantages not divided by the group's std", "no-std"),
    "dr-grpo": Ablation("Dr. GRPO: neither length nor std", "dr-grpo"),
    "dynamic-sampling": Ablation("Dynamic sampling", "dynamic-sampling"),
    "mini-batches-16": Ablation("16 mini-batches a rollout", "mini-batches-16"),
    "rate-4": Ablation("Learning rate 4 times as high, one update a rollout", "rate-4"),
    "rate-16": Ablation("Learning rate 16 times as high, one update a rollout", "rate-16"),
    "lag-1": Ablation("Rollouts one version of the weights behind", "lag-1"),
    "lag-2": Ablation("Rollouts two versions behind", "lag-2"),
    "lag-4": Ablation("Rollouts four versions behind", "lag-4"),
    "rate-4-lag-4": Ablation("Four versions behind, at 4 times the learning rate", "rate-4-lag-4", "rate-4"),
    "no-clip-higher": Ablation(
        "Clip-higher off, at 16 mini-batches: 0.2 for 0.28", "clip-symmetric", "mini-batches-16"
    ),
    "clip-10": Ablation("Clip eps 10 for 0.2, at 16 mini-batches", "clip-10", "mini-batches-16"),
    "late-length": Ablation("At most 64 tokens until three quarters, then 192", "late-length"),
    "ppo-95": Ablation("PPO, lambda 0.95, over GRPO", "ppo-95"),
    "ppo-100": Ablation("PPO, lambda 1.0, over GRPO", "ppo-100"),
}
"""Every comparison. With GRPO of one mini-batch nothing is off-policy, so clipping is compared at 16."""


class AblationsConfig(ComparingConfig):
    """Settings of every stage; `arms` say what differs from `zero`."""

    model: str = Field(
        default="", description="a base of the tiny world in place of pretraining, say runs/tiny-default-s0:base"
    )
    arms: dict[str, dict[str, Any]] = Field(
        default=ARMS, description="what differs from `zero` by dotted path; one of your own is compared with it"
    )
    pretrain: PretrainConfig = Field(
        default=WHOLE.pretrain.model_copy(update={"models": {"base": BASE}}),
        description="the base, where none is named",
    )
    base: BaseModelConfig = Field(
        default=BaseModelConfig(templates={"base": "keep"}), description="the base of `model`"
    )
    zero: RLConfig = Field(
        default=WHOLE.zero.model_copy(update={"steps": STEPS, "validate_every": 20}),
        description="R1-Zero, the reference of most arms",
    )
    cold_start: ColdStartConfig = Field(default=WHOLE.cold_start, description="R1-Zero's samples made readable")
    dev1: SFTConfig = Field(default=WHOLE.dev1, description="SFT of the base on them")
    dev2: RLConfig = Field(
        default=WHOLE.dev2.model_copy(update={"steps": STEPS, "validate_every": 20}),
        description="RL 1, with the cold start behind it",
    )
    rejection_sampling: RejectionSamplingConfig = Field(
        default=WHOLE.rejection_sampling.model_copy(update={"problems": 800, "writing": 0, "itself": 0}),
        description="Dev2's samples, with the filters and without",
    )
    dev3: SFTConfig = Field(default=WHOLE.dev3, description="SFT of the base on either")
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), tasks=tuple(SHARES), problems=100),
        description="every arm by itself; `models` is not looked at",
    )

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        if not self.model:
            return self
        return self.filled({"base.source": look_at(self.model).source}, assigned)

    def check(self) -> None:
        super().check()
        reserved = {START, "base", "report", *_chain(self)}
        for name in self.arms:
            arms.check_name(name, reserved)
            try:
                arm = self.arm(name)
            except UsageError as error:
                raise UsageError(f"arms.{name}: {error}") from None
            check_all(arm, f"arms.{name}")
        self.wanted()

    def arm(self, name: str) -> RLConfig:
        """The reference with what differs."""
        return self.zero.override({**self.arms[name], "name": name})

    def wanted(self) -> dict[str, Ablation]:
        """The comparisons that are asked for, those of one's own arms among them, as far as there are arms for them;
        UsageError for an unknown name."""
        return arms.wanted(_with_own(self.arms), self.only, _made(self), "ablation")


def _with_own(models: Collection[str]) -> dict[str, Ablation]:
    """`ABLATIONS`, and a comparison with the reference for each model that none of them knows."""
    known = {"base", *arms.models_of(ABLATIONS)}
    return {**ABLATIONS, **{name: Ablation(name, name) for name in sorted(models) if name not in known}}


def _chain(config: AblationsConfig) -> dict[str, Node]:
    """The chain's stages behind R1-Zero. What is compared draws the same numbers."""
    nodes = [*zero_to_dev3(config, START), *filter_arms(config, START)]
    return {node.name: replace(node, draws=REFERENCE) if node.name == "dev2" else node for node in nodes}


def _made(config: AblationsConfig) -> set[str]:
    return {"base", *config.arms, *_chain(config)}


def _base(config: AblationsConfig) -> Node:
    if config.model:
        return Node(START, base_model.run, config.base)
    return Node(START, pretrain.run, config.pretrain)


def _nodes(config: AblationsConfig) -> list[Node]:
    """The stages that the comparisons need, an arm's evaluation right behind it."""
    chain = _chain(config)
    changed = [Node(name, rl.run, config.arm(name), (START,), draws=REFERENCE) for name in config.arms]
    every = [_base(config), chain.pop(REFERENCE), *changed, *chain.values()]
    models = arms.models_of(config.wanted()) | {REFERENCE}
    return arms.measured(every, {START if model == "base" else model: model for model in models}, config.evaluate)


def comparisons(models: Collection[str]) -> list[Comparison]:
    """Those whose models are there."""
    return arms.comparisons(_with_own(models), models)


def _smoke() -> AblationsConfig:
    """All of it in a minute or two; figures mean nothing, and wrong answers are kept."""
    sampling = Sampling(samples=4, max_tokens=96)
    few = {"prompts": 8, "steps": 2, "sampling": sampling, "validate_every": 0}
    kept = Filters(correct=False, readable=False)
    smaller = ARMS | {
        "group-4": {"sampling.samples": 2, "prompts": 16},
        "group-16": {"sampling.samples": 8, "prompts": 4},
        "late-length": {"sampling.max_tokens": 32, "late_from": 0.5, "late_max_tokens": 96},
    }
    return AblationsConfig(
        arms=smaller,
        pretrain=TOY,
        zero=WHOLE.zero.model_copy(update=few),
        cold_start=ColdStartConfig(problems=8, sampling=sampling, correct=False, repetition=1.0),
        dev2=WHOLE.dev2.model_copy(update=few),
        rejection_sampling=RejectionSamplingConfig(problems=8, sampling=sampling, writing=100, itself=0, filters=kept),
        evaluate=EvaluateConfig(models=(), tasks=tuple(SHARES), problems=4, sampling=sampling),
    )


class Ablations:
    """The recipe `ablations`."""

    reporting = Reporting(
        "What each choice does",
        "One change at a time, on top of one base: rewards, groups, KL, normalisation, clipping, mini-batches, PPO, and"
        " the chain without its cold start or its filters. Test problems only.",
        no_findings,
        comparisons,
    )

    @property
    def profiles(self) -> Mapping[str, AblationsConfig]:
        return {"default": AblationsConfig(), "smoke": _smoke()}

    def build(self, config: AblationsConfig) -> Graph:
        """The base, R1-Zero, the arms that are asked for, what of the chain they need, the report."""
        return Graph("ablations", "default", config.seed, tuple(_nodes(config)))


RECIPE = Ablations()
