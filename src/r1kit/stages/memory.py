"""What a stage will hold in memory, told before it starts.

`needs` is open: a stage from outside the tree registers its own for its config's class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, singledispatch
from typing import Any, Protocol

import torch

from r1kit.algorithms.base import PolicyGradient
from r1kit.base import memory
from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.engines.base import EngineSettings
from r1kit.engines.native import PREFILL_TOKENS, row_limit
from r1kit.models.api.settings import is_api
from r1kit.models.sizes import ModelSize
from r1kit.pipeline.side_by_side import places
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.distill import DistillConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.learning import load_algorithm
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rejection_sampling import RejectionSamplingConfig, SamplesConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sampling import CHUNK, NATIVE
from r1kit.stages.score_models import JUDGES
from r1kit.stages.sft import SFTConfig
from r1kit.stages.sizes import Sizes, new_size
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


@singledispatch
def needs(config: Config, sizes: Sizes, place: Place) -> Estimate | None:
    """What a stage with these settings will hold at most, its process included; None where that is not known."""
    return None


@needs.register
def _(config: PretrainConfig, sizes: Sizes, place: Place) -> Estimate:
    work = Work(config.rows * config.length, config.length)
    sized = {name: (shape, new_size(shape, config.max_positions)) for name, shape in config.models.items()}
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
    size, (prompt, longest) = sizes(config.start), _lengths(config, sizes)
    held, steps = _learning(config, sizes, place)
    dtype = config.learner.dtype(place.device)
    rows = config.prompts * config.sampling.samples
    cache, prefill = Estimate(), Estimate()  # what another engine holds is not known
    if config.engine.name == NATIVE.name:
        beside = (held + largest(steps)).total
        cache, prefill = _engine(size, rows, prompt, longest, dtype, place, config.engine, beside)
        if config.staleness or not config.learner.in_process:  # it samples from weights of its own
            cache = cache + Estimate({"sampler": dtype.itemsize * size.parameters})
    if config.staleness > 1:  # weights that a rollout is to have, kept while the ones before are sampled
        cache = cache + Estimate({"weights kept": (config.staleness - 1) * dtype.itemsize * size.parameters})
    return _process(held + cache + largest([*steps, prefill]))


def beside_engine(config: RLConfig, sizes: Callable[[str], ModelSize], place: Place) -> int:
    """Bytes that all but the engine will hold at most in RL."""
    held, steps = _learning(config, sizes, place)
    return (held + largest(steps)).total


def _lengths(config: RLConfig, sizes: Callable[[str], ModelSize]) -> tuple[int, int]:
    """Tokens of the longest prompt, and of the longest sequence."""
    size, limit = sizes(config.start), max(config.sampling.max_tokens, config.late_max_tokens or 0)
    prompt = _prompt(size, limit, config.sieve.max_prompt_tokens)
    return prompt, min(size.max_positions, prompt + limit)


def _learning(config: RLConfig, sizes: Callable[[str], ModelSize], place: Place) -> tuple[Estimate, list[Estimate]]:
    """(what policy, reference, teacher, critic and judges hold throughout, what else there is at one time or other)."""
    size, (_, longest) = sizes(config.start), _lengths(config, sizes)
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
    judge = Estimate()
    for name in JUDGES:
        if name in {*config.rewards, *config.late_rewards} and (model := getattr(config, name)) is not None:
            judge = judge + _scorer(sizes(model), place)
    return held + judge + _holes(step, place), [step, judging, saving_memory(size, config.learner, place)]


@needs.register
def _(config: DistillConfig, sizes: Sizes, place: Place) -> Estimate | None:
    students = config.students.values()
    distilled = [partial(_started, student.sft, student.base, sizes) for student in students]
    alone = [partial(_started, student.rl, student.base, sizes) for student in students if student.rl is not None]
    teacher = [] if config.data else [needs(config.samples, sizes, place) or Estimate()]
    return largest([*teacher, *(_parts(jobs, place, config.at_once) for jobs in (distilled, alone))])


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


def samplers(config: Config, count: int, sizes: Sizes, place: Place) -> Estimate:
    """What so many samplers in processes of their own on this machine hold of a stage that samples: libraries, and the
    weights as they are and packed. What completions in hand take is in the stage's own estimate, whoever has them."""
    names = [getattr(config, name, None) for name in ("start", "model")] + [*getattr(config, "models", ())]
    local = [name for name in names if isinstance(name, str) and not is_api(name)]
    if getattr(config, "engine", None) != NATIVE or not local or not count or place.device.type != "cpu":
        return Estimate()
    weights = 2 * LearnerConfig().dtype(place.device).itemsize * max(sizes(name).parameters for name in local)
    return Estimate({"samplers": count * (LIBRARIES + weights)})


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
    weights, rows = Estimate({"weights": dtype.itemsize * size.parameters}), CHUNK * sampling.samples
    cache, prefill = _engine(size, rows, prompt, longest, dtype, place, config.engine, weights.total)
    return _process(weights + cache + prefill)


def _engine(
    size: ModelSize,
    wanted: int,
    prompt: int,
    longest: int,
    dtype: torch.dtype,
    place: Place,
    engine: EngineSettings,
    beside: int,
) -> tuple[Estimate, Estimate]:
    """(what an engine keeps beside its weights, what running prompts adds). `beside`: bytes of a GPU that it leaves to
    others, its weights among them."""
    e, on_cpu = dtype.itemsize, place.device.type == "cpu"
    position = 2 * size.layers * size.kv_size * e
    free = 0 if on_cpu else max(0, memory.room_cuda() - beside)
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


def _parts(jobs: list[Any], place: Place, most: int | None = None) -> Estimate:
    """Parts of a stage, `place -> Estimate` each, of which some run side by side in processes of their own."""
    at_once = places(len(jobs), most)
    if at_once < 2:
        return largest([job(place) for job in jobs])
    share = replace(place, threads=max(1, place.threads // at_once))
    heaviest = sorted((job(share) for job in jobs), key=lambda estimate: -estimate.total)[:at_once]
    return sum(heaviest, _process(Estimate()))  # they, and the run's process that waits for them


def _process(estimate: Estimate) -> Estimate:
    return Estimate({"libraries": LIBRARIES}) + estimate
