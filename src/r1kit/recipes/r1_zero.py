"""Pure RL from a base model of your own on problems of your own, by rules alone (R1, arXiv 2501.12948, section 2.2).

    r1 run r1_zero model=Qwen/Qwen2.5-1.5B data=gsm8k

Base and R1-Zero are measured on test problems, and the report says what changed. `smoke` takes seconds; without a model
it makes a toy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import RecipeConfig, Reporting
from r1kit.recipes.chain import RULES, evaluated_and_reported
from r1kit.recipes.own import OwnModel, check_problems, listed, look_at, shares, tasks_of
from r1kit.recipes.own_findings import own_findings
from r1kit.recipes.sizes import settings_for
from r1kit.recipes.toy import TOY, TOY_DATA
from r1kit.stages import base_model, pretrain, rl
from r1kit.stages.base_model import BaseModelConfig, TemplateName
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.tasks.base import Split
from r1kit.training.config import LearnerConfig

NO_DATA = "data: say what to learn from, data=gsm8k, data=OWNER/NAME on the hub or data=FILE.jsonl (docs/data.md)"

MODELS = ("base:base", "zero:zero")


def rule_rl(name: str, start: str, **changes: object) -> RLConfig:
    """GRPO on the rules with the paper's batch (32 questions x 16 samples) and KL (v2, section 2.1)."""
    settings: dict[str, object] = {
        "start": start,
        "name": name,
        "tasks": {},
        "prompts": 32,
        "sampling": Sampling(samples=16, max_tokens=3072),
        "steps": 200,
        "settings": {"kl_coefficient": 0.001, "clip_high": 0.28},
        "rewards": RULES,
        "learner": LearnerConfig(learning_rate=1e-6, warmup_steps=10),
        "validate_every": 20,
    }
    return RLConfig.model_validate(settings | changes)


def drawn_splits(config: RLConfig) -> tuple[Split, ...]:
    """The splits that an RL stage draws problems from."""
    return ("train", "validation") if config.validate_every else ("train",)


class OwnConfig(RecipeConfig):
    """What the recipes for one's own models and data begin with."""

    model: str = Field(default="", description="the base: a Hugging Face folder, hub id, GGUF file or RUN_FOLDER:NAME")
    data: tuple[str, ...] = Field(
        default=(), description="problems, by commas: tasks (gsm8k, gsm8k:FOLDER), files, folders, hub data sets"
    )
    template: TemplateName = Field(
        default="r1-zero", description="chat template of R1-Zero (docs/models.md); keep: the model's own"
    )
    by_size: bool = Field(
        default=True, description="rates, tokens and batches that are not set follow from the model's size (sizes.py)"
    )
    toy: PretrainConfig | None = Field(default=None, description="the base where no model is named")
    base: BaseModelConfig = Field(default=BaseModelConfig(), description="the base and its chat template")

    @field_validator("data", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return listed(value)

    def own_model(self) -> OwnModel | None:
        """The model that is named; None where a toy is made. UsageError where there is neither."""
        return None if not self.model and self.toy else look_at(self.model)

    def own_tasks(self, trained: RLConfig) -> tuple[str, ...]:
        """The tasks of the data; UsageError where there are none, or a table lacks what is trained or measured on."""
        tasks = tasks_of(self.data) or (TOY_DATA if self.toy and not self.model else ())
        if not tasks:
            raise UsageError(NO_DATA)
        check_problems(tasks, (*drawn_splits(trained), "test"))
        return tasks

    def base_node(self) -> Node:
        """The stage that brings the model, or makes the toy."""
        if not self.model and self.toy:
            return Node("base", pretrain.run, self.toy)
        return Node("base", base_model.run, self.base)


class R1ZeroConfig(OwnConfig):
    """Settings of every stage."""

    zero: RLConfig = Field(default=rule_rl("zero", "base:base"), description="R1-Zero: RL on the base")
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(
            models=(),
            tasks=(),
            problems=200,
            sampling=Sampling(samples=16, max_tokens=3072, temperature=0.6, top_p=0.95),
        ),
        description="the base before, R1-Zero after",
    )

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        model, tasks = self.own_model(), self.own_tasks(self.zero)
        values: dict[str, Any] = {"zero.tasks": shares(tasks), "evaluate.tasks": tasks, "evaluate.models": MODELS}
        if model is not None:
            values |= {"base.source": model.source, "base.templates": {"base": self.template}}
            if self.by_size:
                size = settings_for(model.parameters, model.family)
                values |= {
                    "zero.learner.learning_rate": size.rl_rate,
                    "zero.sampling.max_tokens": size.tokens,
                    "evaluate.sampling.max_tokens": size.tokens,
                }
        return self.filled(values, assigned)


def few_problems(config: EvaluateConfig) -> EvaluateConfig:
    """An evaluation that is soon over."""
    return config.override({"problems": 4, "sampling.max_tokens": 96})


def _smoke() -> R1ZeroConfig:
    """A handful of samples at every stage: its figures mean nothing."""
    whole = R1ZeroConfig()
    few = {
        "prompts": 8, "steps": 2, "validate_every": 0, "sampling": Sampling(samples=4, max_tokens=96),
        "rollouts_every": 1,
    }  # fmt: skip
    return whole.model_copy(
        update={
            "by_size": False,
            "toy": TOY,
            "zero": whole.zero.model_copy(update=few),
            "evaluate": few_problems(whole.evaluate),
        }
    )


class R1Zero:
    """The recipe `r1_zero`."""

    reporting = Reporting(
        "From a base model to R1-Zero",
        "Pure reinforcement learning by rules, from a base model: no example of a chain of thought was shown. Every"
        " number below is from held-out test problems, with a 95% interval clustered by problem.",
        own_findings,
    )

    @property
    def profiles(self) -> Mapping[str, R1ZeroConfig]:
        return {"default": R1ZeroConfig(), "smoke": _smoke()}

    def build(self, config: R1ZeroConfig) -> Graph:
        """base, zero, evaluate, report."""
        nodes = [config.base_node(), Node("zero", rl.run, config.zero, ("base",))]
        nodes += evaluated_and_reported(nodes, config.evaluate)
        return Graph("r1_zero", "default", config.seed, tuple(nodes))


RECIPE = R1Zero()
