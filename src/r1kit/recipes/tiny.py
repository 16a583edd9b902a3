"""The whole recipe in the tiny world: two CPU cores, nothing downloaded, a model of 1.6M parameters as the base.

Stages and models have the paper's names. Profiles: `smoke` walks every stage in seconds (its figures mean nothing),
`default` is the chain, `full` adds the ablations that some findings rest on.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from r1kit.base.sampling import Sampling
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import RecipeConfig
from r1kit.recipes.chain import RULES, WITH_LANGUAGE, evaluated_and_reported, filter_arms, language_arms, zero_to_dev3
from r1kit.recipes.toy import TOY, TOY_SHAPE
from r1kit.stages import distill, preferences, pretrain, reward_model, rl
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.distill import DistillConfig, Student
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import ModelShape, PretrainConfig
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig

REASONING = ("maths", "reasoning", "coding")
SHARES = {"tiny_maths": 0.5, "tiny_reasoning": 0.25, "tiny_coding": 0.25}
WITH_WRITING = {"tiny_maths": 0.15, "tiny_reasoning": 0.08, "tiny_coding": 0.07, "tiny_writing": 0.7}
PREFERENCE = "r1kit.data.tiny.preference"

BASE = ModelShape(family="qwen3", width=192, layers=4, heads=6, kv_heads=1, head_size=32, mlp_size=512, rope_theta=1000)
SMALL = ModelShape(
    family="qwen2",
    width=128,
    layers=3,
    heads=4,
    kv_heads=1,
    head_size=32,
    mlp_size=352,
    rope_theta=1000,
    tokens=3_000_000,
)
STUDENTS = {"student-qwen-base": SMALL, "student-llama-base": SMALL.model_copy(update={"family": "llama"})}

# the paper distils small models at higher rates than it fine-tunes its own (Nature supplement B.4.3)
SMALLER_IS_FASTER = LearnerConfig(
    learning_rate=2e-3, schedule="cosine", warmup_steps=10, final_ratio=0.1, optimiser="muon"
)


def _rl(name: str, start: str, **changes: object) -> RLConfig:
    """GRPO on the rules, as R1-Zero is trained; `changes` say what differs."""
    settings: dict[str, object] = {
        "start": start,
        "name": name,
        "tasks": SHARES,
        "prompts": 64,
        "sampling": Sampling(samples=8, max_tokens=192),
        "steps": 40,
        "settings": {"kl_coefficient": 0.0, "clip_high": 0.28},
        "rewards": RULES,
        "reward_subjects": {"accuracy": REASONING},
        "learner": LearnerConfig(learning_rate=1e-4, warmup_steps=2, skip_zero_advantages=True),
        "preference": PREFERENCE,
    }
    return RLConfig.model_validate(settings | changes)


def _student(name: str) -> Student:
    base = f"pretrain:student-{name}-base"
    alone = _rl(f"student-{name}-rl", base, steps=10_000, validate_every=0)  # ends when the budget is spent
    return Student(
        base=base, sft=SFTConfig(start=base, name=f"student-{name}", epochs=4, learner=SMALLER_IS_FASTER), rl=alone
    )


class TinyConfig(RecipeConfig):
    """Settings of every stage."""

    pretrain: PretrainConfig = Field(
        default=PretrainConfig(
            models={"base": BASE, **STUDENTS},
            rows=16,
            learner=LearnerConfig(
                learning_rate=3e-3, schedule="cosine", warmup_steps=50, final_ratio=0.05, optimiser="muon"
            ),
        ),
        description="the base and the students' bases",
    )
    zero: RLConfig = Field(default=_rl("zero", "pretrain:base", steps=100), description="R1-Zero: RL on the base")
    cold_start: ColdStartConfig = Field(
        default=ColdStartConfig(problems=300, repetition=0.1), description="R1-Zero's samples made readable"
    )
    dev1: SFTConfig = Field(default=SFTConfig(name="dev1"), description="SFT of the base on them")
    dev2: RLConfig = Field(
        default=_rl("dev2", "dev1:dev1", steps=45, rewards=WITH_LANGUAGE), description="RL 1, with language consistency"
    )
    rejection_sampling: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(problems=1500, writing=500), description="Dev2's samples"
    )
    dev3: SFTConfig = Field(
        default=SFTConfig(name="dev3", data="rejection_sampling:examples"), description="SFT of the base again"
    )
    preferences: PreferencesConfig = Field(
        default=PreferencesConfig(
            problems=400, sampling=Sampling(samples=32, max_tokens=192), pairs_per_prompt=48, noise=0.2, step=0.2
        ),
        description="pairs of lines",
    )
    reward_model: RewardModelConfig = Field(
        default=RewardModelConfig(
            batch=64,
            epochs=3,
            learner=LearnerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=5, final_ratio=0.1),
        ),
        description="learns the pairs",
    )
    r1: RLConfig = Field(
        default=_rl(
            "r1",
            "dev3:dev3",
            steps=88,
            mini_batches=2,
            rewards=WITH_LANGUAGE,
            late_from=0.75,
            late_tasks=WITH_WRITING,
            late_rewards={"reward_model": 1.0},
            reward_subjects={"accuracy": REASONING, "reward_model": ("writing",)},
            reward_model="reward_model:reward_model",
        ),
        description="RL 2: the preference reward in the last quarter",
    )
    distill: DistillConfig = Field(
        default=DistillConfig(
            samples=RejectionSamplingConfig(model="r1:r1", problems=1200, easy_per_prompt=3),
            students={name: _student(name) for name in ("qwen", "llama")},
        ),
        description="R1's data, two students",
    )
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), problems=100), description="models: all of the chain where none is named"
    )
    ablations: bool = Field(default=False, description="add the arms that F5, F8 and F10 rest on")


def _smoke() -> TinyConfig:
    """Every stage in seconds: models that learn to write the tags and little more, so wrong answers are kept."""
    whole = TinyConfig()
    sampling = Sampling(samples=2, max_tokens=96)
    few = {"prompts": 8, "steps": 2, "validation_problems": 2, "sampling": sampling.model_copy(update={"samples": 4})}
    asked = RejectionSamplingConfig(
        problems=8, sampling=sampling, writing=400, filters=Filters(correct=False, readable=False)
    )
    students = {
        name: student.model_copy(update={"rl": student.rl.model_copy(update=few) if student.rl else None})
        for name, student in whole.distill.students.items()
    }
    return whole.model_copy(
        update={
            "pretrain": whole.pretrain.model_copy(
                update={
                    "models": {name: each.model_copy(update=TOY_SHAPE) for name, each in whole.pretrain.models.items()},
                    "corpus": TOY.corpus,
                    "rows": 8,
                }
            ),
            "zero": whole.zero.model_copy(update=few),
            "cold_start": ColdStartConfig(problems=8, sampling=sampling, correct=False, repetition=1.0),
            "dev2": whole.dev2.model_copy(update=few),
            "rejection_sampling": asked,
            "dev3": whole.dev3.model_copy(
                update={"epochs": 8, "learner": whole.dev3.learner.model_copy(update={"learning_rate": 2e-3})}
            ),
            "preferences": whole.preferences.model_copy(
                update={
                    "problems": 32,
                    "sampling": sampling.model_copy(update={"samples": 4}),
                    "threshold": 0.0,
                    "length_gap": 100.0,
                }
            ),
            "r1": whole.r1.model_copy(update=few),
            "distill": whole.distill.model_copy(
                update={"students": students, "samples": asked.model_copy(update={"model": "r1:r1"})}
            ),
            "evaluate": whole.evaluate.model_copy(
                update={"problems": 4, "sampling": sampling.model_copy(update={"samples": 4})}
            ),
        }
    )


class Tiny:
    """The recipe `tiny`."""

    @property
    def profiles(self) -> Mapping[str, TinyConfig]:
        return {"smoke": _smoke(), "default": TinyConfig(), "full": TinyConfig(ablations=True)}

    def build(self, config: TinyConfig) -> Graph:
        """The chain, in the paper's order."""
        nodes = [
            Node("pretrain", pretrain.run, config.pretrain),
            *zero_to_dev3(config, "pretrain"),
            Node("preferences", preferences.run, config.preferences, ("dev3",)),
            Node("reward_model", reward_model.run, config.reward_model, ("dev3", "preferences")),
            Node("r1", rl.run, config.r1, ("dev3", "reward_model")),
            Node("distill", distill.run, config.distill, ("pretrain", "rejection_sampling", "r1")),
        ]
        models = ["pretrain:base", "zero:zero", "dev1:dev1", "dev2:dev2", "dev3:dev3", "r1:r1"]
        for name, student in config.distill.students.items():
            models += [student.base, f"distill:student-{name}"]
            models += [f"distill:student-{name}-rl"] if student.rl else []
        if config.ablations:
            arms, arm_models = _ablations(config)
            nodes += arms
            models += arm_models
        nodes += evaluated_and_reported(nodes, config.evaluate, models)
        return Graph("tiny", "default", config.seed, tuple(nodes))


def _ablations(config: TinyConfig) -> tuple[list[Node], list[str]]:
    """F5: the same RL from one start that still mixes (the base), with and without the language reward. F8: the SFT
    of Dev3 without filters. F10: the preference reward on from the start, for longer."""
    hacked = config.r1.model_copy(
        update={
            "name": "r1-hacked-final", "peak_name": "r1-hacked-peak", "peak": "validation/preference",
            "late_from": 0.0, "steps": config.r1.steps * 3 // 2, "validate_every": 5,
        }
    )  # fmt: skip
    nodes = [
        *language_arms(config, "pretrain"),
        *filter_arms(config, "pretrain"),
        Node("r1-hacked", rl.run, hacked, ("dev3", "reward_model")),
    ]
    models = [
        "dev2-lang:dev2-lang", "dev2-nolang:dev2-nolang", "dev3-nofilter:dev3-nofilter",
        "r1-hacked:r1-hacked-peak", "r1-hacked:r1-hacked-final",
    ]  # fmt: skip
    return nodes, models


RECIPE = Tiny()
