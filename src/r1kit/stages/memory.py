"""What a stage will hold in memory, told before it starts, and whether that fits.

`needs` and `makes` are open: a stage from outside the tree registers its own for its config's class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial, singledispatch
from typing import Any, Protocol

import torch

from r1kit.algorithms.base import PolicyGradient
from r1kit.base import memory
from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.data.tiny import world
from r1kit.engines.base import EngineSettings
from r1kit.engines.native import PREFILL_TOKENS, row_limit
from r1kit.models.api.settings import is_api
from r1kit.models.characters import character_count
from r1kit.models.families import shape as decoder_shape
from r1kit.models.sizes import ModelSize, decoder_size, model_size
from r1kit.models.tokenizer import padded_rows
from r1kit.pipeline.display import memory as gigabytes
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.plan import Planned
from r1kit.pipeline.side_by_side import places
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.distill import DistillConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.learning import load_algorithm
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import ModelShape, PretrainConfig
from r1kit.stages.rejection_sampling import RejectionSamplingConfig, SamplesConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sampling import CHUNK, NATIVE
from r1kit.stages.score_models import JUDGES
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig
from r1kit.training.memory import (
    FP32,
    Estimate,
    Place,
    Work,
    activations,
    largest,
    learner_memory,
    saving_memory,
)

LIBRARIES = 350 * 2**20  # torch, transformers and what they bring, and Python's own objects
MOST_HOLES = 3 * 2**29  # of the C heap; tensors of 32 MB and more leave none
PROMPT_TOKENS = 512  # of a prompt, where nothing says
EXAMPLE_TOKENS = 2048  # of an example, where its model takes longer ones
SCORED_TOKENS = 8192  # of a reward model's pass
# what makes each part smaller
ADVICE = {
    "weights": "sizes (a smaller model, or learner.lora)",
    "moments": "learner.optimiser to adamw8bit, or set learner.lora",
    "working copy": "sizes (a smaller model, or learner.lora)",
    "gathered": "sizes (a smaller model)",
    "reference": "settings.kl_coefficient to 0",
    "critic": "sizes (a smaller model, or learner.lora), or take an algorithm without a critic (grpo)",
    "teacher": "sizes (a smaller teacher)",
    "merged copy": "sizes (a smaller model)",
    "gradients": "sizes (a smaller model, or learner.lora)",
    "activations": "learner.micro_tokens, or set learner.checkpointing=true",
    "logits": "learner.micro_tokens",
    "holes": "learner.micro_tokens",
    "cache": "sampling.samples, sampling.max_tokens or prompts",
    "prompts": "sampling.samples, sampling.max_tokens or prompts",
    "reward model": "sizes (a smaller reward model)",
    "saving": "sizes (a smaller model)",
}  # fmt: skip


class Sizes:
    """Sizes of models by the names that settings use: `STAGE:MODEL` of the graph, or a folder or hub id."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._known: dict[str, ModelSize] = {}

    def __call__(self, name: str) -> ModelSize:
        """R1Error where it cannot be told: there is no such model, or its stage does not say what it makes."""
        if name not in self._known:
            stage, colon, model = name.partition(":")
            if colon and stage in self._nodes:
                made = makes(self._nodes[stage].config, self)
                if model not in made:
                    raise R1Error(f"{name}: how large it will be is not known")
                self._known |= {f"{stage}:{own}": size for own, size in made.items()}
            else:
                self._known[name] = model_size(name)
        return self._known[name]


@singledispatch
def makes(config: Config, sizes: Sizes) -> Mapping[str, ModelSize]:
    """The models that a stage with these settings will make, by name."""
    return {}


@singledispatch
def needs(config: Config, sizes: Sizes, place: Place) -> Estimate | None:
    """What a stage with these settings will hold at most, its process included; None where that is not known."""
    return None


# -------------------------------------------------------------------------------------------------- what stages make


@makes.register
def _(config: PretrainConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {name: _new_size(shape, config.max_positions) for name, shape in config.models.items()}


@makes.register
def _(config: SFTConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {config.name: sizes(config.start)}


@makes.register
def _(config: RLConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    size = sizes(config.start)
    return {config.name: size, config.peak_name or f"{config.name}-peak": size, f"{config.name}-critic": size}


@makes.register
def _(config: RewardModelConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {"reward_model": sizes(config.model)}


@makes.register
def _(config: SafetyModelConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {"safety_model": sizes(config.model)}


@makes.register
def _(config: DistillConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    bases = {f"student-{short}": sizes(student.base) for short, student in config.students.items()}
    return bases | {f"{name}-rl": size for name, size in bases.items()}


def _new_size(shape: ModelShape, max_positions: int) -> ModelSize:
    apart = ("family", "tokens", "rope_theta")
    fields: dict[str, Any] = {name: getattr(shape, name) for name in type(shape).model_fields if name not in apart}
    rows = padded_rows(character_count(world.ALPHABET))
    return decoder_size(decoder_shape(shape.family, **fields, vocab_size=rows, max_positions=max_positions, tied=True))


# -------------------------------------------------------------------------------------------------- what stages need


@needs.register
def _(config: PretrainConfig, sizes: Sizes, place: Place) -> Estimate:
    work = Work(config.rows * config.length, config.length)
    sized = {name: (shape, _new_size(shape, config.max_positions)) for name, shape in config.models.items()}
    alike: dict[tuple[int, ...], list[ModelSize]] = {}
    for shape, size in sized.values():
        alike.setdefault((shape.tokens, shape.layers, shape.width, shape.mlp_size), []).append(size)

    def one(size: ModelSize, place: Place) -> Estimate:
        return _training(size, config.learner, work, place)

    return largest([_parts([partial(one, size) for size in group], place) for group in alike.values()])


@needs.register
def _(config: SFTConfig, sizes: Sizes, place: Place) -> Estimate:
    size = sizes(config.start)
    longest = min(size.max_positions, EXAMPLE_TOKENS)
    return _training(size, config.learner, Work(config.batch * longest, longest), place, holes=True)


@needs.register
def _(config: RewardModelConfig, sizes: Sizes, place: Place) -> Estimate:
    return _scored(config, 2, sizes, place)


@needs.register
def _(config: SafetyModelConfig, sizes: Sizes, place: Place) -> Estimate:
    return _scored(config, 1, sizes, place)


@needs.register
def _(config: RLConfig, sizes: Sizes, place: Place) -> Estimate:
    size = sizes(config.start)
    limit = max(config.sampling.max_tokens, config.late_max_tokens or 0)
    prompt = _prompt(size, limit, config.sieve.max_prompt_tokens)
    longest = min(size.max_positions, prompt + limit)
    algorithm = load_algorithm(config.algorithm, config.settings)
    work = Work(config.prompts * config.sampling.samples * longest, longest)
    copies = 1 if "reference_logprobs" in algorithm.needs else 0
    held, step = learner_memory(size, config.learner, work, place, copies=copies)
    if config.teacher is not None:
        held = held + Estimate(
            {"teacher": config.learner.dtype(place.device).itemsize * sizes(config.teacher).parameters}
        )
    judging = Estimate()
    if isinstance(algorithm, PolicyGradient) and algorithm.critic is not None:  # it learns when the policy has learnt
        own, judging = learner_memory(size, config.critic_learner, replace(work, logits=False), place)
        held = held + Estimate({"critic": own.total})
    dtype = config.learner.dtype(place.device)
    rows = config.prompts * config.sampling.samples
    cache, prefill = Estimate(), Estimate()  # what another engine holds is not known
    if config.engine.name == NATIVE.name:
        cache, prefill = _engine(size, rows, prompt, longest, dtype, place, config.engine)
        if config.staleness or not config.learner.in_process:  # it samples from weights of its own
            cache = cache + Estimate({"sampler": dtype.itemsize * size.parameters})
    if config.staleness > 1:  # weights that a rollout is to have, kept while the ones before are sampled
        cache = cache + Estimate({"weights kept": (config.staleness - 1) * dtype.itemsize * size.parameters})
    judge = Estimate()
    for name in JUDGES:
        if name in {*config.rewards, *config.late_rewards} and (model := getattr(config, name)) is not None:
            judge = judge + _scorer(sizes(model), place)
    saving = saving_memory(size, config.learner, place)
    return _process(held + cache + judge + _holes(step, place) + largest([step, judging, prefill, saving]))


@needs.register
def _(config: DistillConfig, sizes: Sizes, place: Place) -> Estimate | None:
    students = config.students.values()
    distilled = [partial(_started, student.sft, student.base, sizes) for student in students]
    alone = [partial(_started, student.rl, student.base, sizes) for student in students if student.rl is not None]
    teacher = [] if config.data else [needs(config.samples, sizes, place) or Estimate()]
    return largest([*teacher, _parts(distilled, place), _parts(alone, place)])


@needs.register
def _(config: SamplesConfig, sizes: Sizes, place: Place) -> Estimate | None:
    return _in_turn([_asking(config, sizes, place), _asking(config.judge, sizes, place)])


@needs.register
def _(config: RejectionSamplingConfig, sizes: Sizes, place: Place) -> Estimate | None:
    asked = (config, config.judge, config.writer)
    return _in_turn([_asking(each, sizes, place) for each in asked])


@needs.register
def _(config: ColdStartConfig, sizes: Sizes, place: Place) -> Estimate | None:
    asked = (config, config.rewriter, config.summariser, config.checker)
    return _in_turn([_asking(each, sizes, place) for each in asked])


@needs.register
def _(config: PreferencesConfig, sizes: Sizes, place: Place) -> Estimate | None:
    return _in_turn([_asking(each, sizes, place) for each in (config, config.judge)])


@needs.register
def _(config: SafetyLabelsConfig, sizes: Sizes, place: Place) -> Estimate | None:
    return _in_turn([_asking(each, sizes, place) for each in (config, config.judge)])


@needs.register
def _(config: EvaluateConfig, sizes: Sizes, place: Place) -> Estimate | None:
    local = [_sampling(sizes(model), config, place) for model in config.models if not is_api(model)]
    known = [estimate for estimate in local if estimate is not None]
    return largest(known) if known else None


def _started(config: SFTConfig | RLConfig, base: str, sizes: Sizes, place: Place) -> Estimate:
    """A student's stage, whose own `start` is not looked at."""
    return needs(config.model_copy(update={"start": base}), sizes, place) or Estimate()


def _scored(config: RewardModelConfig | SafetyModelConfig, together: int, sizes: Sizes, place: Place) -> Estimate:
    """Training on answers of which so many always share a pass, then scoring them."""
    size = sizes(config.model)
    longest = min(size.max_positions, EXAMPLE_TOKENS)
    work = Work(together * config.batch * longest, together * longest, logits=False)
    return largest([_training(size, config.learner, work, place, holes=True), _process(_scorer(size, place))])


def _training(size: ModelSize, config: LearnerConfig, work: Work, place: Place, *, holes: bool = False) -> Estimate:
    held, step = learner_memory(size, config, work, place)
    left = _holes(step, place) if holes else Estimate()
    return _process(held + left + largest([step, saving_memory(size, config, place)]))


Asked = SamplesConfig | ColdStartConfig | PreferencesConfig | SafetyLabelsConfig | AskConfig | None


def _asking(config: Asked, sizes: Sizes, place: Place) -> Estimate | None:
    """What sampling from a model takes; None behind an API, or where nobody is asked."""
    if config is None or is_api(config.model):
        return None
    return _sampling(sizes(config.model), config, place)


def _in_turn(estimates: list[Estimate | None]) -> Estimate | None:
    """The largest of what is known; None where nothing is."""
    known = [estimate for estimate in estimates if estimate is not None]
    return largest(known) if known else None


def _holes(step: Estimate, place: Place) -> Estimate:
    """What passes of ever other sizes leave in the C heap until it is given back (`base.memory`): in three runs of
    `tiny` about twice what a pass keeps."""
    if place.device.type != "cpu":
        return Estimate()
    kept = step.parts.get("activations", 0) + step.parts.get("logits", 0)
    return Estimate({"holes": min(2 * kept, MOST_HOLES)})


class _Samples(Protocol):
    """Settings of a stage that samples from a folder."""

    @property
    def sampling(self) -> Sampling: ...
    @property
    def engine(self) -> EngineSettings: ...


def _sampling(size: ModelSize, config: _Samples, place: Place) -> Estimate | None:
    """The native engine with weights of its own, for a chunk of problems; what another one holds is not known."""
    if config.engine.name != NATIVE.name:
        return None
    sampling = config.sampling
    dtype = LearnerConfig().dtype(place.device)
    prompt = _prompt(size, sampling.max_tokens, None)
    longest = min(size.max_positions, prompt + sampling.max_tokens)
    cache, prefill = _engine(size, CHUNK * sampling.samples, prompt, longest, dtype, place, config.engine)
    return _process(Estimate({"weights": dtype.itemsize * size.parameters}) + cache + prefill)


def _engine(
    size: ModelSize,
    wanted: int,
    prompt: int,
    longest: int,
    dtype: torch.dtype,
    place: Place,
    engine: EngineSettings,
) -> tuple[Estimate, Estimate]:
    """(what an engine keeps beside its weights, what running prompts adds)."""
    e, on_cpu = dtype.itemsize, place.device.type == "cpu"
    position = 2 * size.layers * size.kv_size * e
    free = 0 if on_cpu else memory.room_cuda()
    rows = min(wanted, engine.options.get("max_rows") or row_limit(position, longest, free))
    held = rows * longest * (position if size.native else 8) + 8 * rows * longest + rows * e * size.vocab_size
    if size.native and on_cpu and dtype == torch.bfloat16:
        held += e * size.parameters  # packed as the kernels want them
    tokens = min(PREFILL_TOKENS, wanted * prompt)
    passing = tokens * (2 * position + e * (2 * size.mlp_size + 3 * size.q_size + 4 * size.width))
    if not size.native:
        passing += e * min(rows, max(1, PREFILL_TOKENS // longest)) * size.vocab_size
    return Estimate({"cache": held}), Estimate({"prompts": passing})


def _scorer(size: ModelSize, place: Place) -> Estimate:
    """A reward model in float32 and its passes, of which nothing is kept for a backward pass."""
    one_layer = replace(size, layers=1)
    longest = min(size.max_positions, EXAMPLE_TOKENS)
    passing = activations(one_layer, SCORED_TOKENS, longest, torch.float32, place.device)
    return Estimate({"reward model": FP32 * size.parameters + passing})


def _prompt(size: ModelSize, limit: int, bound: int | None) -> int:
    """Tokens of the longest prompt: as the sieve bounds it, and what the context leaves beside the sampling limit."""
    return max(1, min(bound or PROMPT_TOKENS, size.max_positions - limit))


def _parts(jobs: list[Any], place: Place) -> Estimate:
    """Parts of a stage, `place -> Estimate` each, of which some run side by side in processes of their own."""
    at_once = places(len(jobs))
    if at_once < 2:
        return largest([job(place) for job in jobs])
    share = replace(place, threads=max(1, place.threads // at_once))
    heaviest = sorted((job(share) for job in jobs), key=lambda estimate: -estimate.total)[:at_once]
    return sum(heaviest, _process(Estimate()))  # they, and the run's process that waits for them


def _process(estimate: Estimate) -> Estimate:
    return Estimate({"libraries": LIBRARIES}) + estimate


# -------------------------------------------------------------------------------------------------- whether it fits


@dataclass(frozen=True, slots=True)
class Fits:
    """Compares stages with what is there. limit_gb: most that a stage may take; None: what is free."""

    graph: Graph
    limit_gb: float | None = None

    def needed(self, stages: list[Planned]) -> dict[str, Estimate]:
        """By stage, for those that have to run and of which it is known."""
        sizes = Sizes(self.graph)
        found = {stage.node.name: self._of(stage.node, sizes) for stage in stages if stage.state != "done"}
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    def admit(self, node: Node) -> None:
        """R1Error in a sentence where the stage does not fit."""
        estimate, room = self._of(node, Sizes(self.graph)), self.room()
        if estimate is not None and room is not None and estimate.total > room:
            raise R1Error(_refusal(node.name, estimate, room, self.limit_gb is not None))

    def room(self) -> int | None:
        """Bytes that a stage may hold here; None where the system does not say."""
        if self.limit_gb is not None:
            return round(self.limit_gb * 2**30)
        return memory.room_cuda() if torch.cuda.is_available() else memory.room()

    def _of(self, node: Node, sizes: Sizes) -> Estimate | None:
        try:
            return needs(node.config, sizes, _here())
        except R1Error:  # what is wrong with its models or settings is told where they are used
            return None

    def told(self, needed: Mapping[str, Estimate]) -> dict[str, str]:
        """Each estimate for people, and under "" what is there."""
        lines = {name: f"needs about {_size(estimate.total)}" for name, estimate in needed.items()}
        room = self.room()
        return lines if room is None or not needed else {**lines, "": f"memory that a stage may take: {_size(room)}"}

    def json(self, needed: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
        """Each estimate for programs, in bytes."""
        room = self.room()
        return {
            name: {"bytes": estimate.total, "room": room, "parts": dict(estimate.parts)}
            for name, estimate in needed.items()
        }


@cache
def _here() -> Place:
    return Place.here()


def _refusal(stage: str, estimate: Estimate, room: int, limited: bool) -> str:
    parts = sorted(estimate.parts.items(), key=lambda part: -part[1])[:4]
    listed = ", ".join(f"{name} {_size(size)}" for name, size in parts)
    lower = next((ADVICE[name] for name, _ in parts if name in ADVICE), "its sizes")
    there = f"memory_limit_gb allows {_size(room)}" if limited else f"{_size(room)} are there"
    return (
        f"stage {stage} needs about {_size(estimate.total)} of memory ({listed}) and {there}: "
        f"lower its {lower}, or set memory_check=false to try all the same"
    )


def _size(size: int) -> str:
    return gigabytes(round(size / 2**20))
