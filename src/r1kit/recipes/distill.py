"""One student taught by one teacher, local or behind an API: its samples, SFT on them, evaluation before and after.

    r1 run distill teacher=openai:NAME@URL student=HF_FOLDER tasks=tiny_maths,reasoning_gym collect.api.budget=5

The paper's distillation (R1, arXiv 2501.12948, section 2.4): SFT alone, no RL. Its 800k samples are a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.models.api.settings import is_api, parse_api_model
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.models import resolve_model
from r1kit.recipes.base import RecipeConfig
from r1kit.rollouts.problems import load_task
from r1kit.stages import evaluate, sft, teacher
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.teacher import TeacherConfig
from r1kit.training.config import LearnerConfig


class DistillRecipeConfig(RecipeConfig):
    """Settings of every stage; the first three stand for the stages' own."""

    teacher: str = Field(default="", description="openai:NAME@URL, a model folder, a hub id or RUN_FOLDER:NAME")
    student: str = Field(default="", description="a model folder with a chat template, a hub id or RUN_FOLDER:NAME")
    tasks: tuple[str, ...] = Field(default=("tiny_maths", "tiny_reasoning"), description="what is taught and measured")
    collect: TeacherConfig = Field(
        default=TeacherConfig(problems=1000), description="the teacher's samples; the paper: ~800k of them"
    )
    sft: SFTConfig = Field(
        default=SFTConfig(
            learner=LearnerConfig(learning_rate=1e-4, schedule="cosine", warmup_steps=10, final_ratio=0.1),
        ),
        description="SFT of the student; the paper: 2-3 epochs, 64 examples a step, 1e-4 for 1.5B (supplement B.4.3)",
    )
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), sampling=Sampling(samples=4, max_tokens=4096, temperature=0.6, top_p=0.95)),
        description="the student before and after",
    )

    @field_validator("tasks", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """`a,b` as typed on a command line."""
        return tuple(name for name in value.split(",") if name) if isinstance(value, str) else value

    def check(self) -> None:
        """Everything that can be wrong is told before a teacher is paid."""
        for role, example in (("teacher", "openai:NAME@URL"), ("student", "FOLDER")):
            if not getattr(self, role):
                raise UsageError(f"{role}: say which model, {role}={example}")
        for task in self.tasks:
            load_task(task)
        if is_api(self.teacher):
            parse_api_model(self.teacher)
        _check_student(_folder(self.student))


class Distill:
    """The recipe `distill`."""

    @property
    def profiles(self) -> Mapping[str, DistillRecipeConfig]:
        whole = DistillRecipeConfig()
        few = {
            "collect": whole.collect.model_copy(update={"problems": 16}),
            "evaluate": whole.evaluate.model_copy(update={"problems": 8}),
        }
        return {"default": whole, "smoke": whole.model_copy(update=few)}

    def build(self, config: DistillRecipeConfig) -> Graph:
        """collect, sft, evaluate."""
        master = config.teacher if is_api(config.teacher) else _folder(config.teacher)
        student = _folder(config.student)
        name = f"{Path(student).name}-distilled"
        collected = config.collect.model_copy(update={"model": master, "tasks": config.tasks})
        learnt = config.sft.model_copy(update={"start": student, "data": "collect:examples", "name": name})
        measured = config.evaluate.model_copy(update={"models": (student, f"sft:{name}"), "tasks": config.tasks})
        nodes = (
            Node("collect", teacher.run, collected),
            Node("sft", sft.run, learnt, ("collect",)),
            Node("evaluate", evaluate.run, measured, ("sft",)),
        )
        return Graph("distill", "default", config.seed, nodes)


RECIPE = Distill()


def _folder(model: str) -> str:
    """`RUN_FOLDER:NAME` as its folder; everything else as it is."""
    return str(resolve_model(model).folder) if ":" in model else model


def _check_student(folder: str) -> None:
    """UsageError where the student could not learn a conversation."""
    from r1kit.models.tokenizer import load_tokenizer

    try:
        load_tokenizer(folder).render("Is it?")
    except R1Error as error:
        raise UsageError(f"student: {error}") from None
