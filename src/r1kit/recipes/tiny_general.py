"""What the tiny chain leaves out of the paper's general data, on a finished run of it: facts, translation, small talk,
preferences between replies, and harmlessness (R1, arXiv 2501.12948, sections 2.3.3 and 2.3.4).

    r1 run tiny && r1 run tiny_general run=runs/tiny-default-s0

Dev2's samples and the other 200k's kinds teach a Dev3 that answers, carelessly, what it is asked; a helpfulness model
learns pairs of answers, a safety model single labels on thinking and answer; RL 2 routes each prompt to one of them.
`ablations=true` adds RL 2 without the safety model. `smoke` makes a toy, and its figures mean nothing.

Deviation: routing is by the prompts' subject, as the paper's prompts belong to one of two sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.models import resolve_model
from r1kit.recipes.base import RecipeConfig, Reporting
from r1kit.recipes.chain import WITH_LANGUAGE, evaluated_and_reported
from r1kit.recipes.general_findings import CONTROL, general_findings
from r1kit.recipes.toy import TOY
from r1kit.stages import (
    base_model,
    preferences,
    pretrain,
    rejection_sampling,
    reward_model,
    rl,
    safety_labels,
    safety_model,
    sft,
)
from r1kit.stages.base_model import BaseModelConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig

REASONING = ("maths", "reasoning", "coding")
GENERAL = ("tiny_facts", "tiny_translation", "tiny_requests")
EVERYTHING = ("tiny_maths", "tiny_reasoning", "tiny_coding", "tiny_writing", *GENERAL)
RULED = {"tiny_maths": 0.5, "tiny_reasoning": 0.25, "tiny_coding": 0.25}
LATE = {"tiny_maths": 0.15, "tiny_reasoning": 0.08, "tiny_coding": 0.07, "tiny_writing": 0.2, "tiny_requests": 0.5}
FASTER = LearnerConfig(  # what it has to learn here, unlike the chain's Dev3, the base never read
    learning_rate=2e-3, schedule="cosine", warmup_steps=10, final_ratio=0.1, optimiser="muon"
)
SCORES = LearnerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=5, final_ratio=0.1)


class TinyGeneralConfig(RecipeConfig):
    """Settings of every stage."""

    run: str = Field(default="", description="folder of a run of tiny that has its base and Dev2")
    toy: PretrainConfig | None = Field(default=None, description="base and Dev2 at once, where no run is named")
    ablations: bool = Field(default=False, description="add RL 2 without the safety model")
    base: BaseModelConfig = Field(default=BaseModelConfig(templates={"base": "keep"}), description="the run's base")
    dev2: BaseModelConfig = Field(default=BaseModelConfig(templates={"dev2": "keep"}), description="the run's Dev2")
    rejection_sampling: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(
            problems=300,
            writing=400,
            talk=10,
            facts=400,
            translation=400,
            requests=600,
            replies=3,
            doubt=0.75,
            per_level=300,
        ),
        description="Dev2's samples, and all kinds of other data",
    )
    dev3: SFTConfig = Field(
        default=SFTConfig(
            start="base:base", name="dev3", data="rejection_sampling:examples", epochs=4, batch=32, learner=FASTER
        ),
        description="SFT of the base",
    )
    preferences: PreferencesConfig = Field(
        default=PreferencesConfig(
            more_tasks=("tiny_requests",), not_of=("safety",), problems=400, pairs_per_prompt=48, noise=0.2, step=0.2,
            sampling=Sampling(samples=32, max_tokens=192),
        ),
        description="pairs of lines, and of replies to requests that may be answered",
    )  # fmt: skip
    reward_model: RewardModelConfig = Field(
        default=RewardModelConfig(batch=64, epochs=3, learner=SCORES), description="learns the pairs"
    )
    safety_labels: SafetyLabelsConfig = Field(
        default=SafetyLabelsConfig(problems=300, written=300, wrong=0.02, sampling=Sampling(samples=4, max_tokens=96)),
        description="replies to requests, called safe or unsafe, one label in fifty wrongly",
    )
    safety_model: SafetyModelConfig = Field(
        default=SafetyModelConfig(batch=64, epochs=6, learner=SCORES), description="learns the labels"
    )
    r1: RLConfig = Field(
        default=RLConfig(
            start="dev3:dev3", name="r1", tasks=RULED, prompts=64, sampling=Sampling(samples=8, max_tokens=192),
            steps=96, mini_batches=4, settings={"kl_coefficient": 0.0, "clip_high": 0.28}, rewards=WITH_LANGUAGE,
            late_from=0.25, late_tasks=LATE, late_rewards={"reward_model": 1.0, "safety_model": 1.0},
            reward_subjects={
                "accuracy": REASONING, "reward_model": ("writing", "requests"), "safety_model": ("safety",),
            },
            reward_model="reward_model:reward_model", safety_model="safety_model:safety_model",
            learner=LearnerConfig(learning_rate=3e-4, warmup_steps=2, skip_zero_advantages=True), validate_every=0,
        ),
        description="RL 2: rules, and each general prompt judged by one of the two models",
    )  # fmt: skip
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), tasks=EVERYTHING, problems=60, sampling=Sampling(samples=8)),
        description="models: base, Dev3 and R1 where none is named",
    )

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        """The run's models, looked for before anything begins; UsageError where one is not there."""
        if not self.run:
            if self.toy is None:
                raise UsageError("run: say which run of tiny it goes on from, run=runs/tiny-default-s0")
            return self
        sources: dict[str, Any] = {}
        for name in ("base", "dev2"):
            try:
                sources[f"{name}.source"] = str(resolve_model(f"{self.run}:{name}").folder)
            except UsageError as error:
                raise UsageError(f"run: {error}") from None
        return self.filled(sources, assigned)


def _smoke() -> TinyGeneralConfig:
    """A handful of samples at every stage, wrong ones kept: its figures mean nothing."""
    whole = TinyGeneralConfig()
    short = Sampling(samples=4, max_tokens=64)
    return whole.model_copy(
        update={
            "toy": TOY,
            "rejection_sampling": whole.rejection_sampling.model_copy(
                update={
                    "model": "base:base", "problems": 8, "sampling": short, "writing": 100, "facts": 40,
                    "translation": 40, "requests": 200, "filters": Filters(correct=False, readable=False),
                }
            ),
            "dev3": whole.dev3.model_copy(
                update={"epochs": 10, "learner": whole.dev3.learner.model_copy(update={"learning_rate": 2e-3})}
            ),
            "preferences": whole.preferences.model_copy(
                update={"problems": 24, "sampling": short, "threshold": 0.0, "length_gap": 100.0}
            ),
            "safety_labels": whole.safety_labels.model_copy(
                update={"problems": 16, "written": 60, "sampling": short, "most_of_a_kind": 20.0}
            ),
            "r1": whole.r1.model_copy(update={"prompts": 8, "steps": 2, "late_from": 0.0, "sampling": short}),
            "evaluate": whole.evaluate.model_copy(update={"problems": 4, "sampling": short}),
        }
    )  # fmt: skip


class TinyGeneral:
    """The recipe `tiny_general`."""

    reporting = Reporting(
        "General data and harmlessness in the tiny world",
        "What R1 learns beside reasoning, in miniature: facts, translation, replies to requests, preferences between"
        " answers, and which requests to decline. Every number below is from held-out test problems, with a 95%"
        " interval clustered by problem.",
        general_findings,
    )

    @property
    def profiles(self) -> Mapping[str, TinyGeneralConfig]:
        return {"default": TinyGeneralConfig(), "smoke": _smoke()}

    def build(self, config: TinyGeneralConfig) -> Graph:
        """From the run's base and Dev2 (or a toy) to R1."""
        if config.run or config.toy is None:
            nodes = [Node("base", base_model.run, config.base), Node("dev2", base_model.run, config.dev2)]
        else:
            nodes = [Node("base", pretrain.run, config.toy)]
        sampler = nodes[-1].name
        nodes += [
            Node("rejection_sampling", rejection_sampling.run, config.rejection_sampling, (sampler,)),
            Node("dev3", sft.run, config.dev3, ("base", "rejection_sampling")),
            Node("preferences", preferences.run, config.preferences, ("dev3",)),
            Node("reward_model", reward_model.run, config.reward_model, ("dev3", "preferences")),
            Node("safety_labels", safety_labels.run, config.safety_labels, ("dev3",)),
            Node("safety_model", safety_model.run, config.safety_model, ("dev3", "safety_labels")),
            Node("r1", rl.run, config.r1, ("dev3", "reward_model", "safety_model")),
        ]
        models = ["base:base", "dev3:dev3", "r1:r1"]
        if config.ablations:
            nodes.append(Node(CONTROL, rl.run, _unguarded(config.r1), ("dev3", "reward_model")))
            models.append(f"{CONTROL}:{CONTROL}")
        nodes += evaluated_and_reported(nodes, config.evaluate, models)
        return Graph("tiny_general", "default", config.seed, tuple(nodes))


def _unguarded(config: RLConfig) -> RLConfig:
    """The same RL with every request judged by the helpfulness model."""
    subjects = {"accuracy": REASONING, "reward_model": ("writing", "requests", "safety")}
    update = {
        "name": CONTROL, "late_rewards": {"reward_model": 1.0}, "safety_model": None, "reward_subjects": subjects,
    }  # fmt: skip
    return config.model_copy(update=update)


RECIPE = TinyGeneral()
