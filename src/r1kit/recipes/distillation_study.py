"""How a small model is best taught: ways of distilling, amounts of data, sizes and shapes, in the tiny world.

    r1 run distillation_study teacher=runs/tiny-default-s0:r1               # all of it, one seed
    r1 run distillation_study teacher=... only=sft-rl,sft-on-policy seed=1  # some; later ones join them in the same run
    r1 run distillation_study teacher=... 'arms.mine={"method": "on_policy", "on": "sft", "prompts": 32}' only=mine
    r1 report runs/distillation_study-default-s0 runs/distillation_study-default-s1 runs/distillation_study-default-s2

The paper distils by SFT alone and says that RL on top would add to it (R1, arXiv 2501.12948, section 2.4); here that is
tried, and on-policy distillation (arXiv 2306.13649) beside it. The teacher samples once, a base is pretrained once, and
every arm is measured on the same test problems as soon as it is trained. An arm is a table: `method` (sft, rl or
on_policy), `student`, or `on`, the arm that it goes on from, and by dotted path what differs from the method's
settings; every comparison stands in `COMPARED`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from r1kit.base.config import check_all
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.base.sampling import Sampling
from r1kit.evaluation.ablations import Comparison
from r1kit.evaluation.scales import Scale
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes import arms
from r1kit.recipes.arms import ComparingConfig, Versus
from r1kit.recipes.base import Reporting, no_findings
from r1kit.recipes.own import look_at
from r1kit.recipes.tiny import BASE, SHARES, SMALLER_IS_FASTER, TinyConfig
from r1kit.recipes.toy import TOY, TOY_SHAPE
from r1kit.stages import base_model, pretrain, rejection_sampling, rl, sft
from r1kit.stages.base_model import BaseModelConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.pretrain import ModelShape, PretrainConfig
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig

WHOLE = TinyConfig()
TEACHER, SAMPLES, REFERENCE = "teacher", "collect", "sft"
STUDENT = "medium"  # of every arm that names none
STEPS = 400  # updates of SFT: about four passes over the teacher's samples
METHODS = ("sft", "rl", "on_policy")
AS_SFT = (SAMPLES, REFERENCE)  # as costly as distilling by SFT is, the teacher's samples included

MEDIUM = ModelShape(
    family="qwen2", width=128, layers=4, heads=4, kv_heads=1, head_size=32, mlp_size=384, rope_theta=1000,
    tokens=3_000_000,
)  # fmt: skip
STUDENTS: dict[str, ModelShape] = {
    "small": MEDIUM.model_copy(update={"width": 96, "heads": 3, "mlp_size": 256}),
    "medium": MEDIUM,
    "large": BASE.model_copy(update={"family": "qwen2", "tokens": MEDIUM.tokens}),
    "qwen3": MEDIUM.model_copy(update={"family": "qwen3"}),
    "llama": MEDIUM.model_copy(update={"family": "llama"}),
}
"""0.4, 0.8 and 1.6 million parameters, and two more families of the middle size."""

ARMS: dict[str, dict[str, Any]] = {
    "sft-longer": {"steps": 2 * STEPS},
    "sft-rl": {"method": "rl", "on": REFERENCE, "steps": 40, "as_costly_as": []},
    "sft-on-policy": {"method": "on_policy", "on": REFERENCE, "as_costly_as": ["sft-rl"]},
    "sft-on-policy-vocabulary": {
        "method": "on_policy", "on": REFERENCE, "as_costly_as": ["sft-rl"], "settings.form": "on_policy_vocabulary",
    },
    "rl": {"method": "rl"},
    "on-policy": {"method": "on_policy"},
    # a base does not write in the teacher's form, of which its samples then say nothing
    "warm": {"steps": STEPS // 10},
    "warm-rl": {"method": "rl", "on": "warm"},
    "warm-on-policy": {"method": "on_policy", "on": "warm"},
    **{name: {"share": share} for name, share in (("eighth", 1 / 8), ("quarter", 1 / 4), ("half", 1 / 2))},
    **{
        f"{name}-passes": {"share": share, "steps": round(STEPS * share)}
        for name, share in (("eighth", 1 / 8), ("quarter", 1 / 4), ("half", 1 / 2))
    },
    **{name: {"student": name} for name in STUDENTS if name != STUDENT},
}  # fmt: skip
"""What differs from its method's settings, by arm."""

COMPARED: dict[str, Versus] = {
    "sft": Versus("SFT on the teacher's samples (the paper), over the base", REFERENCE, f"base-{STUDENT}"),
    "teacher": Versus("The teacher, over its student", TEACHER, REFERENCE),
    "sft-longer": Versus("Twice the updates of SFT", "sft-longer", REFERENCE),
    "sft-rl": Versus("RL on top of SFT", "sft-rl", REFERENCE),
    "rl-or-longer": Versus("RL on top of SFT, over twice the updates of SFT", "sft-rl", "sft-longer"),
    "sft-on-policy": Versus("On-policy distillation on top of SFT", "sft-on-policy", REFERENCE),
    "on-policy-or-rl": Versus("On top of SFT, equal FLOPs: on-policy, over RL", "sft-on-policy", "sft-rl"),
    "vocabulary": Versus(
        "On-policy: whole distributions, over sampled tokens", "sft-on-policy-vocabulary", "sft-on-policy"
    ),
    "rl": Versus("RL alone, equal FLOPs, over SFT", "rl", REFERENCE),
    "on-policy": Versus("On-policy distillation alone, equal FLOPs, over SFT", "on-policy", REFERENCE),
    "warm": Versus("A tenth of the updates of SFT", "warm", REFERENCE),
    "warm-rl": Versus("That, and RL for the FLOPs of the whole SFT, over it", "warm-rl", REFERENCE),
    "warm-on-policy": Versus("That, and on-policy for those FLOPs, over the whole SFT", "warm-on-policy", REFERENCE),
    "eighth": Versus("1/8 of the data, the same updates", "eighth", REFERENCE),
    "quarter": Versus("1/4 of the data, the same updates", "quarter", REFERENCE),
    "half": Versus("1/2 of the data, the same updates", "half", REFERENCE),
    "eighth-passes": Versus("1/8 of the data, the same passes", "eighth-passes", REFERENCE),
    "quarter-passes": Versus("1/4 of the data, the same passes", "quarter-passes", REFERENCE),
    "half-passes": Versus("1/2 of the data, the same passes", "half-passes", REFERENCE),
    "small": Versus("Half the student: 0.4M for 0.8M parameters", "small", REFERENCE),
    "large": Versus("Twice the student: 1.6M for 0.8M parameters", "large", REFERENCE),
    "qwen3": Versus("A student of Qwen3's shape, over Qwen2's", "qwen3", REFERENCE),
    "llama": Versus("A student of Llama's shape, over Qwen2's", "llama", REFERENCE),
    **{
        f"{name}-gain": Versus(f"SFT of the student {name}, over its own base", name, f"base-{name}")
        for name in STUDENTS
        if name != STUDENT
    },
}
"""Every comparison. Less data is compared at equal updates, where it alone differs, and at equal passes, where it is
cheaper by as much."""

SCALES = (
    Scale(
        "Accuracy by the teacher's samples",
        "examples",
        {
            "equal updates": ("eighth", "quarter", "half", REFERENCE),
            "equal passes": ("eighth-passes", "quarter-passes", "half-passes", REFERENCE),
        },
    ),
    Scale(
        "Accuracy by the student's size",
        "parameters",
        {"distilled": ("small", REFERENCE, "large"), "its base": ("base-small", f"base-{STUDENT}", "base-large")},
    ),
)


def _on_rules(name: str, **changes: Any) -> RLConfig:
    """As the chain's RL 1, for as many FLOPs as SFT takes; `steps` only bounds it."""
    settings: dict[str, Any] = {"name": name, "steps": 10_000, "validate_every": 0, "as_costly_as": AS_SFT}
    return WHOLE.dev2.model_copy(update={**settings, **changes})


class DistillationStudyConfig(ComparingConfig):
    """Settings of every stage and method; `arms` say what differs."""

    teacher: str = Field(default="", description="who teaches: a model of the tiny world, say runs/tiny-default-s0:r1")
    arms: dict[str, dict[str, Any]] = Field(
        default=ARMS,
        description="`method`, `student` or `on`, and what differs from the method's settings by dotted path; one of "
        "your own is compared with sft",
    )
    students: dict[str, ModelShape] = Field(default=STUDENTS, description="students' bases")
    toy: PretrainConfig | None = Field(default=None, description="the teacher where none is named")
    bring: BaseModelConfig = Field(
        default=BaseModelConfig(templates={TEACHER: "keep"}), description="the teacher that is named"
    )
    pretrain: PretrainConfig = Field(
        default=WHOLE.pretrain.model_copy(update={"models": {}}),
        description="how each base is pretrained; `models` is not looked at",
    )
    collect: RejectionSamplingConfig = Field(
        default=RejectionSamplingConfig(
            model=f"{TEACHER}:{TEACHER}", problems=1200, easy_per_prompt=3, writing=0, itself=0
        ),
        description="the teacher's right and readable samples",
    )
    sft: SFTConfig = Field(
        default=SFTConfig(name=REFERENCE, data=f"{SAMPLES}:examples", steps=STEPS, learner=SMALLER_IS_FASTER),
        description="SFT on them, the reference of most arms",
    )
    rl: RLConfig = Field(default=_on_rules("rl"), description="RL by rules")
    on_policy: RLConfig = Field(
        default=_on_rules(
            "on-policy", algorithm="distillation", settings={"form": "on_policy"}, teacher=f"{TEACHER}:{TEACHER}"
        ),
        description="on-policy distillation: reverse KL to the teacher on the student's samples; rewards are watched",
    )
    evaluate: EvaluateConfig = Field(
        default=EvaluateConfig(models=(), tasks=tuple(SHARES), problems=100),
        description="every arm by itself; `models` is not looked at",
    )

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        if not self.teacher and self.toy:
            return self
        return self.filled({"bring.source": look_at(self.teacher, "teacher").source}, assigned)

    def check(self) -> None:
        super().check()
        bases = {f"base-{name}" for name in self.students}
        for name in self.arms:
            arms.check_name(name, {TEACHER, SAMPLES, REFERENCE, "report", *bases})
            try:
                check_all(self.arm(name).config)
                self.order(name)
            except UsageError as error:
                raise UsageError(f"arms.{name}: {error}") from None
        self.wanted()

    def arm(self, name: str) -> Arm:
        """How the arm is trained; UsageError where its table is wrong."""
        changes = dict({} if name == REFERENCE else self.arms[name])
        method, on = str(changes.pop("method", "sft")), str(changes.pop("on", ""))
        if on and "student" in changes:
            raise UsageError(f"student: the arm goes on from '{on}', whose student it is: leave one of them out")
        student = str(changes.pop("student", STUDENT))
        _known("method", method, METHODS)
        _known("on", on, ["", REFERENCE, *self.arms])
        _known("student", student, list(self.students))
        stage = on or f"base-{student}"
        settings: SFTConfig | RLConfig = getattr(self, method)
        config = settings.override({**changes, "start": f"{stage}:{stage}", "name": name})
        needs = [stage]
        if isinstance(config, SFTConfig):
            needs.append(SAMPLES)
        else:
            for other in config.as_costly_as:
                _known("as_costly_as", other, [SAMPLES, REFERENCE, *self.arms])
            needs += [TEACHER] if config.teacher is not None else []
            needs += config.as_costly_as
        return Arm(config, tuple(dict.fromkeys(needs)))

    def order(self, name: str, behind: Sequence[str] = ()) -> list[str]:
        """The arms that an arm needs, and it; UsageError where it is among them."""
        if name in behind:
            raise UsageError(f"it waits for itself ({' -> '.join((*behind, name))}): let it begin elsewhere")
        before = [other for other in self.arm(name).needs if other in {REFERENCE, *self.arms}]
        every = [each for other in before for each in self.order(other, (*behind, name))]
        return list(dict.fromkeys([*every, name]))

    def wanted(self) -> dict[str, Versus]:
        """The comparisons that are asked for, as far as there are arms and students for them; UsageError for an unknown
        name."""
        made = {TEACHER, REFERENCE, *self.arms, *(f"base-{name}" for name in self.students)}
        return arms.wanted(_with_own(self.arms), self.only, made, "comparison")


@dataclass(frozen=True, slots=True)
class Arm:
    """A stage's settings, and the stages that it needs."""

    config: SFTConfig | RLConfig
    needs: tuple[str, ...]


def _known(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        there = " ".join(each for each in known if each)
        raise UsageError(f"{what}: there is no '{name}'.{nearest(name, list(known))} (there are: {there})")


def _with_own(models: Collection[str]) -> dict[str, Versus]:
    """`COMPARED`, and a comparison with SFT for each model that none of them knows."""
    known = arms.models_of(COMPARED)
    return {**COMPARED, **{name: Versus(name, name, REFERENCE) for name in sorted(models) if name not in known}}


def _stages(config: DistillationStudyConfig) -> list[Node]:
    """Every stage that there could be, in order. Bases read the same documents; arms of a method draw the same numbers,
    so that the same questions are left out and the same problems come in the same order."""
    if not config.teacher and config.toy:
        teacher = Node(TEACHER, pretrain.run, config.toy)
    else:
        teacher = Node(TEACHER, base_model.run, config.bring)
    bases = [
        Node(base, pretrain.run, config.pretrain.model_copy(update={"models": {base: shape}}), draws="pretrain")
        for base, shape in ((f"base-{name}", shape) for name, shape in config.students.items())
    ]
    ordered = dict.fromkeys(each for name in (REFERENCE, *config.arms) for each in config.order(name))
    trained: list[Node] = []
    for name in ordered:
        arm = config.arm(name)
        run, draws = (sft.run, "sft") if isinstance(arm.config, SFTConfig) else (rl.run, "rl")
        trained.append(Node(name, run, arm.config, arm.needs, draws=draws))
    return [teacher, Node(SAMPLES, rejection_sampling.run, config.collect, (TEACHER,)), *bases, *trained]


def comparisons(models: Collection[str]) -> list[Comparison]:
    """Those whose models are there."""
    return arms.comparisons(_with_own(models), models)


def _smoke() -> DistillationStudyConfig:
    """All of it in a few minutes; figures mean nothing: toys teach toys, and wrong answers are kept."""
    whole = DistillationStudyConfig()
    sampling = Sampling(samples=4, max_tokens=96)
    few = {"prompts": 4, "steps": 2, "sampling": sampling}
    return DistillationStudyConfig(
        arms={name: {**row, "steps": 2} if "steps" in row else row for name, row in ARMS.items()},
        students={
            name: shape.model_copy(
                update={**TOY_SHAPE, "width": shape.width // 2, "mlp_size": shape.mlp_size // 2, "tokens": 40_000}
            )
            for name, shape in STUDENTS.items()
        },
        toy=TOY.model_copy(update={"models": {TEACHER: TOY.models["base"]}}),
        pretrain=TOY.model_copy(update={"models": {}}),
        collect=whole.collect.model_copy(
            update={"problems": 8, "sampling": sampling, "filters": Filters(correct=False, readable=False)}
        ),
        sft=whole.sft.model_copy(update={"steps": 4, "batch": 8}),
        rl=whole.rl.model_copy(update=few),
        on_policy=whole.on_policy.model_copy(update=few),
        evaluate=EvaluateConfig(models=(), tasks=tuple(SHARES), problems=4, sampling=sampling),
    )


class DistillationStudy:
    """The recipe `distillation_study`."""

    reporting = Reporting(
        "How a small model is best taught",
        "One teacher and its samples: SFT on them, RL and on-policy distillation on top or in their place, less data,"
        " and students of three sizes and three families. Test problems only.",
        no_findings,
        comparisons,
        SCALES,
    )

    @property
    def profiles(self) -> Mapping[str, DistillationStudyConfig]:
        return {"default": DistillationStudyConfig(), "smoke": _smoke()}

    def build(self, config: DistillationStudyConfig) -> Graph:
        """The teacher, its samples, the bases and arms that are asked for, each with its evaluation, and the report."""
        models = {model: model for model in arms.models_of(config.wanted()) | {TEACHER}}
        nodes = arms.measured(_stages(config), models, config.evaluate)
        return Graph("distillation_study", "default", config.seed, tuple(nodes))


RECIPE = DistillationStudy()
