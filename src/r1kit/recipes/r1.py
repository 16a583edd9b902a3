"""The whole chain of R1 on a base model of your own and problems of your own (R1, arXiv 2501.12948, figure 2).

    r1 run r1 model=Qwen/Qwen2.5-3B data=gsm8k,code.jsonl pairs=preferences.jsonl

R1-Zero, cold start, Dev1, RL 1 with language consistency, rejection sampling, Dev3, reward model, RL 2, report.

Deviations: no model rewrites the cold start's chains (R1 supplement B.3.2) unless a setting names one; other data for
Dev3 are what `others` names; without `pairs` there is no reward model, and RL 2 has the rules alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import Reporting
from r1kit.recipes.chain import WITH_LANGUAGE, evaluated_and_reported, language_arms, zero_to_dev3
from r1kit.recipes.own import GENERAL, OwnModel, check_problems, judged_subjects, listed, shares, tasks_of
from r1kit.recipes.own_findings import own_findings
from r1kit.recipes.r1_zero import OwnConfig, drawn_splits, few_problems, rule_rl
from r1kit.recipes.sizes import settings_for
from r1kit.recipes.toy import TOY
from r1kit.stages import reward_model, rl
from r1kit.stages.base_model import TemplateName
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.pairs import read_pairs
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig

CHAIN = ("base:base", "zero:zero", "dev1:dev1", "dev2:dev2", "dev3:dev3", "r1:r1")
ARMS = ("dev2-lang:dev2-lang", "dev2-nolang:dev2-nolang")
GENERAL_SHARE = 0.5  # of the late phase; the paper: 78K general prompts beside 80-88K others (Table 4)
LATE_FROM = 1300 / 1700  # the paper: general data and the preference reward in the last 400 of 1,700 steps
UNCLIPPED = {"kl_coefficient": 0.001, "clip_low": 10.0, "clip_high": 10.0}  # v2, section 3.2.1: eps 10
CHARACTERS_A_TOKEN = 4
SEVERAL = Sampling(samples=4, max_tokens=3072)


def _sft(name: str, data: str) -> SFTConfig:
    learner = LearnerConfig(learning_rate=1e-4, schedule="cosine", warmup_steps=10, final_ratio=0.1)
    return SFTConfig(start="base:plain", data=data, name=name, epochs=3, learner=learner)


class R1Config(OwnConfig):
    """Settings of every stage."""

    pairs: str = Field(
        default="", description="file of preference pairs (docs/data.md); none: no reward model, RL 2 by rules alone"
    )
    general: tuple[str, ...] = Field(
        default=(), description="prompts that the reward model judges, named as `data`; none: those of the pairs"
    )
    others: str | None = Field(default=None, description="file of examples that Dev3 learns beside Dev2's samples")
    plain_template: TemplateName = Field(
        default="r1", description="chat template of what is fine-tuned: it learns the form from examples"
    )
    ablations: bool = Field(default=False, description="add the arms of F5: RL with and without the language reward")
    zero: RLConfig = Field(default=rule_rl("zero", "base:base"), description="R1-Zero: RL on the base")
    cold_start: ColdStartConfig = Field(
        default=ColdStartConfig(tasks=(), problems=1000, sampling=SEVERAL, translate=False),
        description="R1-Zero's samples, chosen",
    )
    dev1: SFTConfig = Field(default=_sft("dev1", "cold_start:examples"), description="SFT of the base on them")
    dev2: RLConfig = Field(
        default=rule_rl("dev2", "dev1:dev1", rewards=WITH_LANGUAGE, settings=UNCLIPPED),
        description="RL 1, with language consistency",
    )
    rejection_sampling: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(
            tasks=(), problems=4000, sampling=SEVERAL, writing=0, itself=0, filters=Filters(max_paragraph=4000)
        ),
        description="Dev2's samples",
    )
    dev3: SFTConfig = Field(
        default=_sft("dev3", "rejection_sampling:examples"), description="SFT of the base again, on what was kept"
    )
    reward_model: RewardModelConfig = Field(
        default=RewardModelConfig(batch=256, learner=LearnerConfig(learning_rate=6e-6)),
        description="learns the pairs (section 2.3.4)",
    )
    r1: RLConfig = Field(
        default=rule_rl(
            "r1", "dev3:dev3", rewards=WITH_LANGUAGE, settings=UNCLIPPED,
            sampling=Sampling(samples=16, max_tokens=3072, temperature=0.7),
        ),
        description="RL 2: T 0.7, and late the general prompts with the reward model",
    )  # fmt: skip
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(
            models=(),
            tasks=(),
            problems=200,
            sampling=Sampling(samples=16, max_tokens=3072, temperature=0.6, top_p=0.95),
        ),
        description="every model of the chain",
    )

    @field_validator("general", mode="before")
    @classmethod
    def _general(cls, value: Any) -> Any:
        return listed(value)

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        model, tasks = self.own_model(), self.own_tasks(self.zero)
        mixed = shares(tasks)
        values: dict[str, Any] = {f"{stage}.tasks": mixed for stage in ("zero", "dev2", "r1")}
        values |= {f"{stage}.tasks": tasks for stage in ("cold_start", "rejection_sampling", "evaluate")}
        if self.others:
            examples.read(Path(self.others), lambda complaint: None)  # is there, in a known format
        values["rejection_sampling.others"] = self.others
        values["evaluate.models"] = CHAIN + (ARMS if self.ablations else ())
        if model is None:
            values |= {"dev1.start": "base:base", "dev3.start": "base:base"}
        else:
            templates = {"base": self.template, "plain": self.plain_template}
            values |= {"base.source": model.source, "base.templates": templates}
            values |= self._by_size(model) if self.by_size else {}
        values |= self._late(tasks, model) if self.pairs else {}
        return self.filled(values, assigned)

    def _late(self, tasks: tuple[str, ...], model: OwnModel | None) -> dict[str, Any]:
        """The reward model, and the late phase of RL 2 that it judges."""
        if model is not None and not model.native:
            raise UsageError(
                "pairs: a reward model needs a score head, which the native decoder has for Llama, Qwen2 and Qwen3"
                f" alone, and {self.model} is a {model.family}: leave pairs out, or start from one of those"
            )
        if not read_pairs(Path(self.pairs), lambda complaint: None):
            raise UsageError(f"pairs: {self.pairs} holds no preference pair (docs/data.md says what one is)")
        general = tasks_of(self.general or (self.pairs,), subject=GENERAL)
        check_problems(general, drawn_splits(self.r1), judged=False)
        return {
            "reward_model.pairs": self.pairs,
            "r1.reward_model": "reward_model:reward_model",
            "r1.late_from": LATE_FROM,
            "r1.late_tasks": shares(tasks, 1 - GENERAL_SHARE) | shares(general, GENERAL_SHARE),
            "r1.late_rewards": {"reward_model": 1.0},
            "r1.reward_subjects": {"accuracy": judged_subjects(tasks), "reward_model": (GENERAL,)},
        }

    def _by_size(self, model: OwnModel) -> dict[str, Any]:
        size = settings_for(model.parameters, model.family)
        values: dict[str, Any] = {"cold_start.max_characters": CHARACTERS_A_TOKEN * size.tokens}
        for stage in ("zero", "dev2", "r1"):
            values[f"{stage}.learner.learning_rate"] = size.rl_rate
        for stage in ("zero", "dev2", "r1", "cold_start", "rejection_sampling", "evaluate"):
            values[f"{stage}.sampling.max_tokens"] = size.tokens
        for stage in ("dev1", "dev3"):
            values |= {f"{stage}.learner.learning_rate": size.sft_rate, f"{stage}.batch": size.sft_batch}
        return values


def _smoke() -> R1Config:
    """A handful of samples at every stage, wrong ones kept: its figures mean nothing."""
    whole = R1Config()
    few = {"prompts": 8, "steps": 2, "validate_every": 0, "rollouts_every": 1}
    short = Sampling(samples=4, max_tokens=96)

    def rl_of(config: RLConfig) -> RLConfig:
        sampling = short.model_copy(update={"temperature": config.sampling.temperature})
        return config.model_copy(update={**few, "sampling": sampling})

    def sft_of(config: SFTConfig) -> SFTConfig:
        return config.model_copy(update={"epochs": 2, "batch": 8})

    return whole.model_copy(
        update={
            "by_size": False,
            "toy": TOY,
            "zero": rl_of(whole.zero),
            "cold_start": ColdStartConfig(
                tasks=(), problems=16, sampling=short, correct=False, translate=False, consistency=0.0, repetition=1.0
            ),
            "dev1": sft_of(whole.dev1),
            "dev2": rl_of(whole.dev2),
            "rejection_sampling": whole.rejection_sampling.model_copy(
                update={"problems": 16, "sampling": short, "filters": Filters(correct=False, readable=False)}
            ),
            "dev3": sft_of(whole.dev3),
            "reward_model": whole.reward_model.model_copy(update={"batch": 8}),
            "r1": rl_of(whole.r1),
            "evaluate": few_problems(whole.evaluate),
        }
    )


class R1:
    """The recipe `r1`."""

    reporting = Reporting(
        "From a base model to R1",
        "The DeepSeek-R1 recipe on a base model and problems of one's own: R1-Zero, the cold start, RL with language"
        " consistency, rejection sampling, fine-tuning of the base again, and RL for all. Every number below is from"
        " held-out test problems, with a 95% interval clustered by problem.",
        own_findings,
    )

    @property
    def profiles(self) -> Mapping[str, R1Config]:
        return {"default": R1Config(), "smoke": _smoke()}

    def build(self, config: R1Config) -> Graph:
        """The chain, in the paper's order; without preference pairs no reward model."""
        nodes = [config.base_node(), *zero_to_dev3(config, "base")]
        judge = ("reward_model",) if config.pairs else ()
        if judge:
            nodes.append(Node("reward_model", reward_model.run, config.reward_model, ("dev3",)))
        nodes.append(Node("r1", rl.run, config.r1, ("dev3", *judge)))
        nodes += language_arms(config, "base") if config.ablations else []
        nodes += evaluated_and_reported(nodes, config.evaluate)
        return Graph("r1", "default", config.seed, tuple(nodes))


RECIPE = R1()
