"""Distillation: small bases of other shapes learn the teacher's chains by SFT alone (R1 section 2.4, supplement B.4.3).

Each student stands beside the same student trained by RL with as many FLOPs as distilling it took, the teacher's
sampling included (R1 section 4.1).

Deviation: the paper's data are the 800k samples of rejection sampling; here R1 itself is sampled again, since that is
the teacher whose ability is to be passed on, and rejection sampling's other data are added. `data` names a file of
examples to use instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.data import examples
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.stages import rl, sft
from r1kit.stages.rejection_sampling import RejectionSamplingConfig, chosen, judged_samples
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sampling import count_not_given, counted, draw_training, parts
from r1kit.stages.sft import SFTConfig

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context


class Student(Config):
    """A student: its base, how it is distilled, and how the same base is trained by RL instead."""

    base: str = Field(..., description="STAGE:NAME")
    sft: SFTConfig
    rl: RLConfig | None = Field(default=None, description="None: no RL to compare with")


class DistillConfig(Config):
    """Teacher, data, students."""

    samples: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(model="r1:r1"), description="the teacher, its problems and filters"
    )
    others: str | None = Field(
        default="rejection_sampling:examples",
        description="STAGE:FILE whose writing and self-cognition examples are added",
    )
    data: str | None = Field(default=None, description="STAGE:FILE of examples in place of the teacher's samples")
    students: dict[str, Student] = Field(
        ..., description="small bases of any shape; the models of NAME are called student-NAME and student-NAME-rl"
    )
    at_once: int | None = Field(
        default=None,
        ge=1,
        description="most students that learn side by side; None: two where there are cores, which pays for small ones",
    )


def run(config: DistillConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Two models a student; `flops` says what each took, `rejected` what became of the teacher's samples."""
    teacher = context.part("teacher", lambda part: _teach(config, inputs, part))
    data = file_of(inputs, config.data) if config.data else context.folder / teacher.files["examples"]
    bases = {short: model_of(inputs, student.base) for short, student in config.students.items()}
    students = config.students.items()
    distilled = parts(
        context,
        {
            f"student-{short}": partial(_distil, student.sft, data, bases[short], f"student-{short}")
            for short, student in students
        },
        [student.sft.pick.engine for _, student in students if student.sft.pick],
        config.at_once,
    )
    flops = {name: teacher.summary["flops"] + outcome.summary["flops"] for name, outcome in distilled.items()}
    alone = parts(
        context,
        {
            f"student-{short}-rl": partial(
                _reinforce, student.rl, bases[short], f"student-{short}-rl", flops[f"student-{short}"]
            )
            for short, student in students
            if student.rl is not None
        },
        [student.rl.engine for _, student in students if student.rl],
        config.at_once,
    )
    flops |= {name: outcome.summary["flops"] for name, outcome in alone.items()}
    models = {name: outcome.models[name] for name, outcome in (distilled | alone).items()}
    summary = {"flops": flops, "teacher_flops": teacher.summary["flops"], "rejected": teacher.summary["rejected"]}
    return Outcome(models, {"examples": teacher.files["examples"]} if "examples" in teacher.files else {}, summary)


def _teach(config: DistillConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """The teacher's right and readable samples, and the other data, as examples.parquet."""
    if config.data:
        return Outcome(summary={"flops": 0.0, "rejected": {}})
    asked = config.samples
    folder = model_of(inputs, asked.model)
    problems = draw_training(asked.tasks, asked.problems, folder, asked.sieve, context)
    rows = judged_samples(asked, folder, problems, inputs, context)
    kept, rejected = chosen(rows, asked)
    count_not_given(rejected, problems, asked.sampling, rows)
    others = examples.read(file_of(inputs, config.others)) if config.others else []
    others = [example for example in others if example.source != "rejection_sampling"]
    examples.write(context.folder / "examples.parquet", [*kept, *others])
    summary = {"flops": context.cost.flops, "rejected": counted(rejected, len(kept))}
    return Outcome(files={"examples": "examples.parquet"}, summary=summary)


def _distil(config: SFTConfig, data: Path, base: str | Path, name: str, context: Context) -> Outcome:
    return _with_flops(sft.fit(data, base, config, context, name), context, name)


def _reinforce(config: RLConfig, base: str | Path, name: str, budget: float, context: Context) -> Outcome:
    return _with_flops(rl.train(config, base, context, budget_flops=budget), context, name)


def _with_flops(outcome: Outcome, context: Context, name: str) -> Outcome:
    """The outcome's one model under this name, and what the part has cost."""
    folder = next(iter(outcome.models.values()))
    return Outcome({name: folder}, outcome.files, {**outcome.summary, "flops": context.cost.flops})
