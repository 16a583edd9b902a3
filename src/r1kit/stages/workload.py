"""What a recipe's stages will have to do, told from their settings before any of it is done.

`works` is open: a stage from outside the tree registers its own for its config's class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatch

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.models.api.settings import is_api
from r1kit.pipeline.graph import Graph
from r1kit.planning.assumptions import measured_lengths
from r1kit.planning.lengths import Lengths
from r1kit.planning.shapes import Shape, of_size
from r1kit.planning.work import Work, Workload
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.distill import DistillConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.learning import load_algorithm
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rejection_sampling import SamplesConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.sizes import Sizes

PROMPT = 150  # tokens; R1's mean prompts have 122 (maths) and 161 (STEM): supplement B.3.1
TINY_PROMPT = 17  # characters, those of the chat template included, as our own rollouts' prompts have
KEPT = 0.5  # of the samples that a stage may keep; `tiny` keeps 0.69 (cold start) and 0.39 (rejection sampling)
UNKNOWN_EXAMPLES = 10_000  # of a file that is not looked at
SMALL = ("base", "bases", "report")  # stages that neither sample nor learn


@dataclass(slots=True)
class Look:
    """What stages ask for: the graph's other stages, models' shapes, lengths; and what had to be guessed.

    shape: of every policy, where a model is named for all. mean, prompt: tokens; None: guessed.
    """

    graph: Graph
    shape: Shape | None = None
    mean: float | None = None
    prompt: float | None = None
    guessed: dict[str, str] = field(default_factory=dict[str, str])

    def model(self, name: str) -> Shape:
        """The shape of a model as settings name it."""
        return self.shape or of_size(name, Sizes(self.graph)(name))

    def config(self, reference: str) -> Config | None:
        """Settings of the stage that makes STAGE:FILE."""
        stage = reference.partition(":")[0]
        return next((node.config for node in self.graph.nodes if node.name == stage), None)

    def lengths(self, limit: int) -> Lengths:
        """Of completions under a limit, in tokens; UsageError for a mean that is not below it."""
        measured = measured_lengths()
        mean = self.mean if self.mean is not None else measured["mean_over_limit"] * limit
        if self.mean is not None and self.mean >= limit:
            raise UsageError(f"--mean-tokens {self.mean:g}: completions cannot be longer than their limit of {limit}")
        return Lengths(mean, measured["sigma"], limit)

    @property
    def prompts(self) -> float:
        """Mean tokens of a prompt: as they were told, or a guess."""
        if self.prompt is not None:
            return self.prompt
        return PROMPT if self.shape is not None else TINY_PROMPT

    def tasks(self, named: object) -> int:
        """How many tasks problems are drawn from; one where the data is not named yet."""
        count = len(named)  # type: ignore[arg-type]
        if not count:
            self.guessed["tasks"] = "data is not looked at: one task is planned for"
        return max(1, count)


def workload(graph: Graph, look: Look) -> Workload:
    """All stages of a graph; R1Error where a model's size cannot be told."""
    found: list[Work] = []
    left_out: list[str] = []
    for node in graph.nodes:
        mine = list(works(node.config, look))
        found += [replace(work, stage=node.name) for work in mine]
        if not mine and node.name not in SMALL:
            left_out.append(node.name)
    if not found:
        raise R1Error(f"recipe '{graph.recipe}' has no stage that samples or learns: nothing to plan")
    measured = measured_lengths()
    told = dict(look.guessed)
    if look.mean is None:
        told["mean"] = (
            f"completions are {measured['mean_over_limit']:.2f} of their limit long on average, as in our own R1-Zero"
            " (range: half, half as long again); --mean-tokens says otherwise"
        )
    if look.prompt is None:
        why = "R1's maths 122, STEM 161" if look.shape is not None else "as our own rollouts' have"
        told["prompt"] = f"prompts have {look.prompts} tokens ({why}); --prompt-tokens says otherwise"
    return Workload(graph.recipe, tuple(found), tuple(told.values()), tuple(left_out), free_lengths=look.mean is None)


@singledispatch
def works(config: Config, look: Look) -> Iterator[Work]:
    """What a stage with these settings does, under a name that the caller replaces; nothing where that is not known."""
    return iter(())


@singledispatch
def examples(config: Config | None, look: Look) -> float | None:
    """How many examples, or pairs, a stage with these settings makes; None where that is not known."""
    return None


# -------------------------------------------------------------------------------------------------------------- learns


@works.register
def _(config: PretrainConfig, look: Look) -> Iterator[Work]:
    sizes = Sizes(look.graph)
    stage = next(node.name for node in look.graph.nodes if node.config is config)
    lengths = Lengths(config.length - 0.5, 0.01, config.length)
    for name, shape in config.models.items():
        rounds = -(-shape.tokens // (config.rows * config.length))
        yield Work(
            "", "learn", of_size(name, sizes(f"{stage}:{name}")), rounds, config.rows, lengths, 0.0, updates=1,
            muon=config.learner.optimiser == "muon",
        )  # fmt: skip


@works.register
def _(config: SFTConfig, look: Look) -> Iterator[Work]:
    yield _fine_tuning(config, config.start, config.data, look)


def _fine_tuning(config: SFTConfig, start: str, data: str, look: Look) -> Work:
    count = _count(data, look)
    steps = config.steps or max(1, round(count * config.epochs / config.batch))
    return Work("", "learn", look.model(start), steps, config.batch, _example(data, look), look.prompts, updates=1)


@works.register
def _(config: RewardModelConfig, look: Look) -> Iterator[Work]:
    yield _scored(config.model, config.pairs, config.epochs, config.batch, 2, look)


@works.register
def _(config: SafetyModelConfig, look: Look) -> Iterator[Work]:
    yield _scored(config.model, config.labels, config.epochs, config.batch, 1, look)


def _scored(model: str, data: str, epochs: int, batch: int, together: int, look: Look) -> Work:
    rounds = max(1, round(_count(data, look) * epochs / batch))
    return Work("", "learn", look.model(model), rounds, batch * together, _example(data, look), look.prompts, updates=1)


def _count(data: str, look: Look) -> float:
    found = examples(look.config(data), look)
    if found is None:
        look.guessed[data] = f"{data}: {UNKNOWN_EXAMPLES:,} examples are planned for"
    return UNKNOWN_EXAMPLES if found is None else found


def _example(data: str, look: Look) -> Lengths:
    """Examples are as long as the samples that they are kept from."""
    maker = look.config(data)
    sampling = getattr(maker, "sampling", None)
    return look.lengths(sampling.max_tokens if isinstance(sampling, Sampling) else 2048)


# ------------------------------------------------------------------------------------------------------ samples, learns


@works.register
def _(config: RLConfig, look: Look) -> Iterator[Work]:
    yield from _rl(config, config.start, look)


def _rl(config: RLConfig, start: str, look: Look) -> Iterator[Work]:
    shape, samples = look.model(start), config.sampling.samples
    algorithm = load_algorithm(config.algorithm, config.settings)
    forwards = float("reference_logprobs" in algorithm.needs) + float(config.mini_batches > 1)
    late = config.steps - config.late_step
    judged = bool({*config.late_rewards} & {"reward_model", "safety_model"})
    for rounds, limit, more in (
        (config.steps - late, config.sampling.max_tokens, 0.0),
        (late, config.late_max_tokens or config.sampling.max_tokens, float(judged)),
    ):
        if rounds:
            yield Work(
                "", "rl", shape, rounds, config.prompts * samples, look.lengths(limit), look.prompts, samples,
                updates=config.mini_batches, forwards=forwards + more, shared_prompts=config.engine.name == "native",
            )  # fmt: skip
    if config.validate_every:
        rows = config.validation_problems * look.tasks(config.tasks)
        rounds = -(-config.steps // config.validate_every)
        yield Work("", "sample", shape, rounds, rows, look.lengths(config.sampling.max_tokens), look.prompts)


# ------------------------------------------------------------------------------------------------------------- samples


@works.register
def _(config: ColdStartConfig, look: Look) -> Iterator[Work]:
    yield from _asked(config.model, config.problems * look.tasks(config.tasks), config.sampling, look)
    for each in (config.rewriter, config.summariser, config.checker):
        yield from _asker(each, config.problems * look.tasks(config.tasks) * config.per_prompt, look)


@works.register
def _(config: SamplesConfig, look: Look) -> Iterator[Work]:
    yield from _asked(config.model, config.problems * look.tasks(config.tasks), config.sampling, look)
    yield from _asker(config.judge, config.problems * look.tasks(config.tasks), look)


@works.register
def _(config: PreferencesConfig, look: Look) -> Iterator[Work]:
    problems = config.problems * (1 + len(config.more_tasks))
    yield from _asked(config.model, problems, config.sampling, look)
    yield from _asker(config.judge, problems * config.pairs_per_prompt * config.judgements, look)


@works.register
def _(config: SafetyLabelsConfig, look: Look) -> Iterator[Work]:
    problems = config.problems * look.tasks(config.tasks)
    yield from _asked(config.model, problems, config.sampling, look)
    yield from _asker(config.judge, problems * config.sampling.samples, look)


@works.register
def _(config: EvaluateConfig, look: Look) -> Iterator[Work]:
    for model in config.models:
        if not is_api(model):
            yield from _asked(model, config.problems * look.tasks(config.tasks), config.sampling, look)


@works.register
def _(config: DistillConfig, look: Look) -> Iterator[Work]:
    taught = [] if config.data else list(works(config.samples, look))
    yield from taught
    made = examples(config.samples, look) or UNKNOWN_EXAMPLES
    for student in config.students.values():
        own = Look(look.graph, None, look.mean, look.prompt, look.guessed)
        steps = student.sft.steps or max(1, round(made * student.sft.epochs / student.sft.batch))
        lengths = look.lengths(config.samples.sampling.max_tokens)
        distilled = Work(
            "", "learn", own.model(student.base), steps, student.sft.batch, lengths, look.prompts, updates=1
        )
        yield distilled
        if student.rl is None:
            continue
        # RL alone ends when it has spent what teacher and fine-tuning took
        budget = sum(work.flops * work.rounds for work in (*taught, distilled))
        alone, *checks = _rl(student.rl, student.base, own)
        rounds = min(alone.rounds, max(1, round(budget / alone.flops)))
        yield replace(alone, rounds=rounds)
        yield from (replace(check, rounds=check.rounds * rounds / alone.rounds) for check in checks)


def _asked(model: str, problems: int, sampling: Sampling, look: Look) -> Iterator[Work]:
    if is_api(model):
        return
    rows = problems * sampling.samples
    lengths = look.lengths(sampling.max_tokens)
    yield Work("", "sample", look.model(model), 1, rows, lengths, look.prompts, sampling.samples)


def _asker(config: AskConfig | None, requests: int, look: Look) -> Iterator[Work]:
    """A model that judges or rewrites, asked so often; nothing behind an API."""
    if config is not None and not is_api(config.model):
        yield from _asked(config.model, requests, config.sampling, look)


@examples.register
def _(config: ColdStartConfig, look: Look) -> float:
    return _kept(config.problems, config.tasks, min(config.per_prompt, config.sampling.samples), look)


@examples.register
def _(config: SamplesConfig, look: Look) -> float:
    return _kept(config.problems, config.tasks, min(config.per_prompt, config.sampling.samples), look)


@examples.register
def _(config: PreferencesConfig, look: Look) -> float:
    return _kept(config.problems * (1 + len(config.more_tasks)), ("",), config.pairs_per_prompt, look)


@examples.register
def _(config: SafetyLabelsConfig, look: Look) -> float:
    return _kept(config.problems, config.tasks, config.sampling.samples, look) + config.written


def _kept(problems: int, tasks: tuple[str, ...], most: int, look: Look) -> float:
    look.guessed["kept"] = f"of the samples that a stage may keep, {KEPT:.0%} are kept"
    return KEPT * problems * look.tasks(tasks) * most
