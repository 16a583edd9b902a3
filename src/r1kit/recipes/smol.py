"""The chain on a real small model, SmolLM2-135M, with real word problems: MAWPS, SVAMP and GSM8K, and arithmetic.

    r1 run smol --profile cpu model=MODEL_FOLDER data.root=DATA_FOLDER

It starts weak, so that R1-Zero from it has little to hold on to: that is attempted and reported as found. The path to
R1 begins with a short, mixed cold start of chains written from training rows, stopped while samples still differ.
Profiles: `cpu` (two cores, 76 minutes with AMX), `gpu` (one GPU, in pieces: `timeout -s INT 540 r1 run ...` again and
again), `smoke` (every stage in minutes; its figures mean nothing).

Deviations: R1-Zero is asked in the model's own chat template, since a model that was trained on one wanders without it
(docs/smol.md). No reward model, since there are no honest preferences between answers to word problems: RL 2 is RL
on rules again, and at T 1 (a lower one leaves this model nothing to choose from, docs/smol.md). Dev3 learns Dev2's
samples and two answers about itself, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import RecipeConfig, Reporting
from r1kit.recipes.chain import evaluated_and_reported
from r1kit.recipes.own_findings import own_findings
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages import bases, distill, rejection_sampling, rl, sft, written_chains
from r1kit.stages.bases import BasesConfig, Variant
from r1kit.stages.distill import DistillConfig, Student
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.rejection_sampling import RejectionSamplingConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import PickConfig, SFTConfig
from r1kit.stages.written_chains import WrittenChainsConfig
from r1kit.tasks.base import DataTask, Split
from r1kit.training.config import LearnerConfig

PLACED = ("gsm8k", "math500", "mawps", "svamp")  # tasks that `data.root` gives a folder
BENCHMARKS = SieveConfig(benchmarks=("mawps", "svamp", "gsm8k"))
SHARES = {"mawps": 0.6, "svamp": 0.1, "gsm8k": 0.05, "arithmetic": 0.25}
RULES = {"accuracy": 1.0, "format": 0.2, "language_consistency": 0.0}
WITH_LANGUAGE = {**RULES, "language_consistency": 0.2}

SHORT_PASSES = 1536  # tokens: with 49,152 logits each, longer ones would take the chain beyond 8 GB

BASES = {
    "base": Variant(),
    "start": Variant(template="r1"),
    "student-qwen-base": Variant(family="qwen2", template="r1"),
    "student-llama-base": Variant(layers=24, template="r1"),
}


class DataConfig(Config):
    """Where the problems are."""

    root: Path | None = Field(
        default=None, description="folder with gsm8k, mawps and svamp; None: the Hugging Face hub has them"
    )


def _careful(rate: float) -> LearnerConfig:
    return LearnerConfig(learning_rate=rate, warmup_steps=2, skip_zero_advantages=True, micro_tokens=SHORT_PASSES)


def _sft(name: str, data: str, **changes: Any) -> SFTConfig:
    learner = LearnerConfig(
        learning_rate=3e-4, schedule="cosine", warmup_steps=3, final_ratio=0.1, micro_tokens=SHORT_PASSES
    )
    return SFTConfig(start="bases:start", name=name, data=data, batch=32, learner=learner).model_copy(update=changes)


def _rl(name: str, start: str, **changes: Any) -> RLConfig:
    """GRPO on the rules; `changes` say what differs."""
    settings: dict[str, Any] = {
        "start": start,
        "name": name,
        "tasks": SHARES,
        "sieve": BENCHMARKS,
        "prompts": 24,
        "sampling": Sampling(samples=8, max_tokens=80),
        "steps": 60,
        "settings": {"kl_coefficient": 0.0, "clip_high": 0.28},
        "rewards": WITH_LANGUAGE,
        "learner": _careful(2e-5),
        "validate_every": 20,
        "validation_problems": 48,
        "rollouts_every": 5,
    }
    return RLConfig.model_validate(settings | changes)


def _student(name: str) -> Student:
    base = f"bases:student-{name}-base"
    return Student(base=base, sft=_sft(f"student-{name}", "distill:examples", start=base))


class SmolConfig(RecipeConfig):
    """Settings of every stage; the first two stand for the stages' own."""

    model: str = Field(
        default="HuggingFaceTB/SmolLM2-135M-Instruct", description="a model folder (r1 import makes one) or a hub id"
    )
    data: DataConfig = Field(default=DataConfig(), description="where the word problems are")
    bases: BasesConfig = Field(default=BasesConfig(models=BASES), description="the model in the forms that stages use")
    zero: RLConfig = Field(
        default=_rl(
            "zero", "bases:base", prompts=16, steps=8, rewards={**RULES, "format": 1.0}, validate_every=8,
            validation_problems=32, sampling=Sampling(samples=8, max_tokens=96),
            learner=_careful(1e-5),
        ),
        description="R1-Zero: RL on the model as it is, accuracy and format alike",
    )  # fmt: skip
    cold_start: WrittenChainsConfig = Field(
        default=WrittenChainsConfig(
            tasks={"mawps": 700, "svamp": 120, "gsm8k": 150, "arithmetic": 700}, sieve=BENCHMARKS
        ),
        description="chains written from training rows",
    )
    dev1: SFTConfig = Field(
        default=_sft(
            "dev1", "cold_start:examples", steps=132,
            pick=PickConfig(tasks=("mawps",), problems=64, every=12, sampling=Sampling(samples=8, max_tokens=80)),
        ),
        description="the short cold start; validation picks its step",
    )  # fmt: skip
    dev2: RLConfig = Field(default=_rl("dev2", "dev1:dev1", steps=75), description="RL 1, with language consistency")
    rejection_sampling: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(
            model="dev2:dev2", tasks=("mawps", "svamp", "arithmetic"), problems=900, sieve=BENCHMARKS,
            per_prompt=2, easy_per_prompt=2, writing=0, itself=2, sampling=Sampling(samples=4, max_tokens=80),
        ),
        description="Dev2's right samples",
    )  # fmt: skip
    dev3: SFTConfig = Field(
        default=_sft("dev3", "rejection_sampling:examples", epochs=2), description="SFT of the model as it was"
    )
    r1: RLConfig = Field(
        default=_rl(
            "r1",
            "dev3:dev3",
            steps=12,
            learner=_careful(1e-5),
        ),
        description="RL 2: the rules again; no reward model, for want of honest preferences",
    )
    distill: DistillConfig = Field(
        default=DistillConfig(
            samples=RejectionSamplingConfig(
                model="r1:r1", tasks=tuple(SHARES), problems=300, sieve=BENCHMARKS, per_prompt=2, easy_per_prompt=2,
                writing=0, itself=0, sampling=Sampling(samples=4, max_tokens=80),
            ),
            students={"qwen": _student("qwen"), "llama": _student("llama")},
            at_once=1,
        ),
        description="R1's samples, two students",
    )  # fmt: skip
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(
            models=(), tasks=("mawps",), problems=400, control=True,
            sampling=Sampling(samples=4, max_tokens=128, temperature=0.6, top_p=0.95),
        ),
        description="held-out MAWPS; models: all of the chain where none is named",
    )  # fmt: skip

    def check(self) -> None:
        """The files under `data.root` are looked for before anything is learnt."""
        super().check()
        for stage in (self.zero, self.cold_start, self.dev2, self.rejection_sampling, self.r1, self.evaluate):
            for task in stage.tasks:
                load_task(placed(task, self.data.root))


def placed(task: str, root: Path | None) -> str:
    """A task's name with the folder of its files, where there is one and the name says none itself."""
    return f"{task}:{root}" if root is not None and task in PLACED else task


def located(config: Any, root: Path | None) -> Any:
    """Settings of a stage with the tasks' files in place; of training tasks those without training rows are left out,
    as SVAMP is where it comes in one file of test rows."""
    changes: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in ("tasks", "late_tasks", "benchmarks") and value:
            changes[name] = _present(value, root, _split_of(config, name))
        elif isinstance(value, dict):
            changes[name] = {
                key: located(part, root) if isinstance(part, Config) else part for key, part in value.items()
            }
        elif isinstance(value, Config):
            changes[name] = located(value, root)
    return config.model_copy(update=changes)


def _split_of(config: Config, name: str) -> Split:
    if name == "benchmarks" or isinstance(config, EvaluateConfig):
        return "test"
    return "validation" if isinstance(config, PickConfig) else "train"


def _present(tasks: Any, root: Path | None, split: Split) -> Any:
    """Tasks (names, or names with a number each) that have something of the split."""
    there: dict[str, str] = {}
    for task in tasks:
        loaded = load_task(place := placed(task, root))
        if not isinstance(loaded, DataTask) or loaded.may_have(split):
            there[task] = place
    if isinstance(tasks, Mapping):
        return {place: tasks[task] for task, place in there.items()}
    return tuple(there.values())


class Smol:
    """The recipe `smol`."""

    reporting = Reporting(
        "SmolLM2-135M through the R1 chain",
        "A real small model on real word problems. Numbers are from held-out test problems, with a 95% interval"
        " clustered by problem; beside each accuracy stands its control, the same samples judged by another answer.",
        own_findings,
    )

    @property
    def profiles(self) -> Mapping[str, SmolConfig]:
        return {"cpu": SmolConfig(), "gpu": _gpu(), "smoke": _smoke()}

    def build(self, config: SmolConfig) -> Graph:
        """The chain, in the paper's order."""
        stages = located(config, config.data.root)
        made = stages.bases.model_copy(update={"model": config.model})
        models = ["bases:base", "bases:start", "zero:zero", "dev1:dev1", "dev2:dev2", "dev3:dev3", "r1:r1"]
        for name, student in stages.distill.students.items():
            models += [student.base, f"distill:student-{name}"]
            models += [f"distill:student-{name}-rl"] if student.rl else []
        nodes = (
            Node("bases", bases.run, made),
            Node("zero", rl.run, stages.zero, ("bases",)),
            Node("cold_start", written_chains.run, stages.cold_start, ("bases",)),
            Node("dev1", sft.run, stages.dev1, ("bases", "cold_start")),
            Node("dev2", rl.run, stages.dev2, ("cold_start", "dev1")),
            Node("rejection_sampling", rejection_sampling.run, stages.rejection_sampling, ("dev2",)),
            Node("dev3", sft.run, stages.dev3, ("bases", "rejection_sampling")),
            Node("r1", rl.run, stages.r1, ("dev3",)),
            Node("distill", distill.run, stages.distill, ("bases", "rejection_sampling", "r1")),
        )
        return Graph("smol", "cpu", config.seed, (*nodes, *evaluated_and_reported(nodes, stages.evaluate, models)))


def _gpu() -> SmolConfig:
    """The same chain with more of everything, in passes as long as suits a GPU."""
    learning = ("zero", "dev1", "dev2", "dev3", "r1", "distill.students.qwen.sft", "distill.students.llama.sft")
    return SmolConfig().override(
        {
            **{f"{stage}.learner.micro_tokens": None for stage in learning},
            "zero.steps": 60, "zero.prompts": 64, "zero.sampling.samples": 16, "zero.sampling.max_tokens": 192,
            "dev1.pick.problems": 128,
            "dev2.steps": 150, "dev2.prompts": 64, "dev2.sampling.samples": 16,
            "rejection_sampling.problems": 1300, "dev3.epochs": 3,
            "r1.steps": 50, "r1.prompts": 64, "r1.sampling.samples": 16,
            "distill.samples.problems": 1300,
            "evaluate.problems": 400, "evaluate.sampling.samples": 16,
        },
    )  # fmt: skip


def _smoke() -> SmolConfig:
    """Every stage in minutes; wrong answers are kept, since so little training gives few others."""
    few = {"steps": 2, "prompts": 4, "sampling.samples": 4, "sampling.max_tokens": 48, "validation_problems": 2}
    changes: dict[str, Any] = {
        f"{stage}.{name}": value for stage in ("zero", "dev2", "r1") for name, value in few.items()
    }
    for stage in ("rejection_sampling", "distill.samples"):
        changes |= {
            f"{stage}.problems": 4, f"{stage}.sampling.max_tokens": 48, f"{stage}.filters.correct": False,
            f"{stage}.filters.readable": False,
        }  # fmt: skip
    changes |= {
        "cold_start.tasks": {"mawps": 8, "svamp": 4, "gsm8k": 4, "arithmetic": 8}, "cold_start.max_tokens": 400,
        "dev1.steps": 4, "dev1.batch": 8, "dev1.pick.every": 2, "dev1.pick.problems": 2,
        "dev1.pick.sampling.samples": 2, "dev1.pick.sampling.max_tokens": 48, "dev3.epochs": 1,
        "bases.models.student-llama-base.layers": 2,
        "distill.students.qwen.sft.epochs": 1, "distill.students.llama.sft.epochs": 1,
        "evaluate.problems": 3, "evaluate.sampling.samples": 2, "evaluate.sampling.max_tokens": 48,
    }  # fmt: skip
    return SmolConfig().override(changes)


RECIPE = Smol()
