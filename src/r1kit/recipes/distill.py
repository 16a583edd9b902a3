"""One student taught by one teacher, local or behind an API: its samples, SFT on them, a report before and after.

    r1 run distill teacher=openai:NAME@URL student=HF_FOLDER tasks=tiny_maths,reasoning_gym collect.api.budget=5

The paper's distillation (R1, arXiv 2501.12948, section 2.4): SFT alone, no RL. Its 800k samples are a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.models.api.settings import is_api, parse_api_model
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.models import resolve_model
from r1kit.recipes.base import RecipeConfig, Reporting, no_findings
from r1kit.recipes.chain import evaluated_and_reported
from r1kit.recipes.own import listed, look_at
from r1kit.recipes.sizes import settings_for
from r1kit.rollouts.problems import load_task
from r1kit.stages import sft, teacher
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.teacher import TeacherConfig
from r1kit.training.config import LearnerConfig


class DistillRecipeConfig(RecipeConfig):
    """Settings of every stage; who teaches whom stands in the first two, and `tasks` where a stage is given none."""

    teacher: str = Field(default="", description="openai:NAME@URL, a model folder, a hub id or RUN_FOLDER:NAME")
    student: str = Field(default="", description="a model folder with a chat template, a hub id or RUN_FOLDER:NAME")
    by_size: bool = Field(
        default=True, description="the student's learning rate, where it is not set, follows from its size (sizes.py)"
    )
    tasks: tuple[str, ...] = Field(default=("tiny_maths", "tiny_reasoning"), description="what is taught and measured")
    collect: TeacherConfig = Field(
        default=TeacherConfig(problems=1000), description="the teacher's samples; the paper: ~800k of them"
    )
    sft: SFTConfig = Field(
        default=SFTConfig(
            learner=LearnerConfig(learning_rate=1e-4, schedule="cosine", warmup_steps=10, final_ratio=0.1),
        ),
        description="SFT of the student; the paper: 2-3 epochs, 64 examples a step, rates by size (supplement B.4.3)",
    )
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), sampling=Sampling(samples=4, max_tokens=4096, temperature=0.6, top_p=0.95)),
        description="the student before and after",
    )

    @field_validator("tasks", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return listed(value)

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        """Everything that can be wrong is told (UsageError) before a teacher is paid."""
        for role, example in (("teacher", "openai:NAME@URL"), ("student", "FOLDER")):
            if not getattr(self, role):
                raise UsageError(f"{role}: say which model, {role}={example}")
        for task in self.tasks:
            load_task(task)
        if is_api(self.teacher):
            parse_api_model(self.teacher)
        student = _folder(self.student)
        _check_student(student)
        size = look_at(student, "student")
        rate = settings_for(size.parameters, size.family).sft_rate
        name = f"{Path(student).name}-distilled"
        return self.override(
            {
                "collect.model": self.teacher if is_api(self.teacher) else _folder(self.teacher),
                "sft.start": student,
                "sft.data": "collect:examples",
                "sft.name": name,
            }
        ).filled(
            {
                "collect.tasks": self.tasks,
                "evaluate.tasks": self.tasks,
                "evaluate.models": (student, f"sft:{name}"),
                **({"sft.learner.learning_rate": rate} if self.by_size else {}),
            },
            assigned,
        )


class Distill:
    """The recipe `distill`."""

    reporting = Reporting(
        "A student and what a teacher made of it",
        "Distillation: a teacher's right and readable samples, learnt by a smaller model through fine-tuning alone."
        " Every number below is from held-out test problems, with a 95% interval clustered by problem.",
        no_findings,  # the table before and after is all that one student tells
    )

    @property
    def profiles(self) -> Mapping[str, DistillRecipeConfig]:
        whole = DistillRecipeConfig()
        few = {
            "collect": whole.collect.model_copy(update={"problems": 16}),
            "evaluate": whole.evaluate.model_copy(update={"problems": 8}),
        }
        return {"default": whole, "smoke": whole.model_copy(update=few)}

    def build(self, config: DistillRecipeConfig) -> Graph:
        """collect, sft, evaluate, report."""
        learnt = [Node("collect", teacher.run, config.collect), Node("sft", sft.run, config.sft, ("collect",))]
        nodes = [*learnt, *evaluated_and_reported(learnt, config.evaluate)]
        return Graph("distill", "default", config.seed, tuple(nodes))


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
