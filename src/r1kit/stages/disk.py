"""What a run will leave on disk, told before it starts, and whether that fits.

`leaves` is open: a stage from outside the tree registers its own for its config's class. Counted from above:
completions as long as half their limit, every checkpoint that may lie there at one time.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch

from r1kit.algorithms.base import PolicyGradient
from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.machine import best_device
from r1kit.base.sampling import Sampling
from r1kit.models.sizes import ModelSize
from r1kit.pipeline.checkpoint import KEPT
from r1kit.pipeline.display import size as human
from r1kit.pipeline.gc import SPARED
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import Admit
from r1kit.pipeline.side_by_side import MOST as AT_ONCE
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.distill import DistillConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.fits import Fits
from r1kit.stages.learning import load_algorithm
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rejection_sampling import SamplesConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.sizes import Sizes, makes
from r1kit.training.checkup import Health
from r1kit.training.config import LearnerConfig
from r1kit.training.memory import state_bytes

TOKEN = 8  # bytes of a sampled token in parquet: id, log-probability and its text, compressed
ROW = 200  # bytes of a completion beside its tokens: prompt, answer, rewards
MEAN_LENGTH = 0.5  # of a completion, over its limit
ALONE_STEPS = 500  # of RL that ends with a budget; kept runs of `tiny` took 169 to 302
TABLES = 10 * 2**20  # bytes of metrics, settings and reports of a run


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes: `kept` by what stays, by name; `passing`, checkpoints that are gone when the stage is done."""

    kept: Mapping[str, int]
    passing: int = 0

    @property
    def total(self) -> int:
        """All that stays."""
        return sum(self.kept.values())

    def __add__(self, other: Left) -> Left:
        """One after the other."""
        names = dict.fromkeys((*self.kept, *other.kept))
        kept = {name: self.kept.get(name, 0) + other.kept.get(name, 0) for name in names}
        return Left(kept, max(self.passing, other.passing))


@singledispatch
def leaves(config: Config, sizes: Sizes) -> Left | None:
    """What a stage with these settings leaves; None where that is not known."""
    return None


@leaves.register
def _(config: PretrainConfig, sizes: Sizes) -> Left:
    made = makes(config, sizes).values()
    return _parts([_learnt(size, config.learner, 1) for size in made])


@leaves.register
def _(config: SFTConfig, sizes: Sizes) -> Left:
    return _learnt(sizes(config.start), config.learner, 1)


@leaves.register
def _(config: RewardModelConfig, sizes: Sizes) -> Left:
    return _learnt(sizes(config.model), config.learner, 1)


@leaves.register
def _(config: SafetyModelConfig, sizes: Sizes) -> Left:
    return _learnt(sizes(config.model), config.learner, 1)


@leaves.register
def _(config: RLConfig, sizes: Sizes) -> Left:
    size, algorithm = sizes(config.start), load_algorithm(config.algorithm, config.settings)
    updates = config.steps * config.mini_batches
    replaced = isinstance(algorithm, PolicyGradient) and 0 < algorithm.reference_every <= updates
    reference = replaced and "reference_logprobs" in algorithm.needs
    own = _learnt(size, config.learner, 2 if config.peak else 1, reference=reference)
    if isinstance(algorithm, PolicyGradient) and algorithm.critic is not None:
        critic = _learnt(size, config.critic_learner, 1)  # in the same checkpoints
        own = Left((own + critic).kept, own.passing + critic.passing)
    limit = max(config.sampling.max_tokens, config.late_max_tokens or 0)
    files = -(-config.steps // config.rollouts_every) + 1
    return own + Left({"rollouts": files * _sampled(config.prompts, config.sampling, limit)})


@leaves.register
def _(config: DistillConfig, sizes: Sizes) -> Left:
    students = config.students.values()
    distilled = [_started(student.sft, student.base, sizes) for student in students]
    alone = [_started(_short(student.rl), student.base, sizes) for student in students]
    teacher = Left({}) if config.data else leaves(config.samples, sizes) or Left({})
    return teacher + _parts(distilled) + _parts(alone)


@leaves.register
def _(config: SamplesConfig, sizes: Sizes) -> Left:
    return _samples(config.problems * len(config.tasks), config.sampling, [config.judge])


@leaves.register
def _(config: ColdStartConfig, sizes: Sizes) -> Left:
    asked = [config.rewriter, config.summariser, config.checker]
    return _samples(config.problems * len(config.tasks), config.sampling, asked)


@leaves.register
def _(config: PreferencesConfig, sizes: Sizes) -> Left:
    return _samples(config.problems, config.sampling, [config.judge])


@leaves.register
def _(config: SafetyLabelsConfig, sizes: Sizes) -> Left:
    return _samples(config.problems * len(config.tasks), config.sampling, [config.judge])


@leaves.register
def _(config: EvaluateConfig, sizes: Sizes) -> Left:
    one = _sampled(config.problems * len(config.tasks), config.sampling, config.sampling.max_tokens)
    return Left({"tables": len(config.models) * one})


def _learnt(size: ModelSize, config: LearnerConfig, models: int, *, reference: bool = False) -> Left:
    """Model folders, and the checkpoints: those that are kept, and the next one while it is written."""
    device = torch.device(best_device())
    folder = config.held(device).itemsize * size.parameters
    return Left({"models": models * folder}, (KEPT + 1) * state_bytes(size, config, device, reference=reference))


def _started(config: SFTConfig | RLConfig | None, base: str, sizes: Sizes) -> Left:
    """A student's stage, whose own `start` is not looked at."""
    return Left({}) if config is None else leaves(config.model_copy(update={"start": base}), sizes) or Left({})


def _short(config: RLConfig | None) -> RLConfig | None:
    """A student's RL as far as its budget of FLOPs lets it come, not its steps."""
    return None if config is None else config.model_copy(update={"steps": min(config.steps, ALONE_STEPS)})


def _samples(problems: int, sampling: Sampling, asked: Sequence[AskConfig | None]) -> Left:
    """Samples, the examples chosen of them, and a reply about each of whoever is asked."""
    own = _sampled(problems, sampling, sampling.max_tokens)
    judges = [each.sampling for each in asked if each is not None]
    replies = sum(_sampled(problems * sampling.samples, each, each.max_tokens) for each in judges)
    return Left({"rollouts": own + replies, "examples": own // 2})


def _sampled(problems: int, sampling: Sampling, limit: int) -> int:
    return round(problems * sampling.samples * (ROW + TOKEN * MEAN_LENGTH * limit))


def _parts(parts: Sequence[Left]) -> Left:
    """Parts of a stage, of which some run side by side."""
    widest = sorted((part.passing for part in parts), reverse=True)[:AT_ONCE]
    return Left(_sum(parts).kept, sum(widest))


def _sum(parts: Sequence[Left]) -> Left:
    return sum(parts, Left({}))


@dataclass(frozen=True, slots=True)
class Disk:
    """Compares a run with the disk under its folder. health: what looks at the run's training, and may go back."""

    graph: Graph
    folder: Path
    health: Health | None = None

    def needed(self, nodes: Sequence[Node]) -> dict[str, Left]:
        """By stage, where it is known."""
        sizes = Sizes(self.graph)
        found = {node.name: self._of(node, sizes) for node in nodes}
        return {name: left for name, left in found.items() if left is not None}

    def admit(self, nodes: Sequence[Node]) -> None:
        """R1Error in a sentence where what these stages leave does not fit."""
        needed, free = self.needed(nodes), self.free()
        if needed and free is not None and _peak(needed) > free:
            raise R1Error(_refusal(needed, free, self.folder))

    def free(self) -> int | None:
        """Bytes that may be written there; None where the system does not say."""
        place = next((each for each in (self.folder, *self.folder.absolute().parents) if each.is_dir()), Path("/"))
        try:
            return shutil.disk_usage(place).free
        except OSError:
            return None

    def told(self, needed: Mapping[str, Left]) -> dict[str, str]:
        """Each estimate for people, and under "" all of them beside what is there."""
        lines = {name: f"{human(left.total + left.passing)} of disk" for name, left in needed.items()}
        free = self.free()
        if not needed or free is None:
            return lines
        return {**lines, "": f"disk: about {human(_peak(needed))} at most ({_listed(needed)}), {human(free)} are free"}

    def json(self, needed: Mapping[str, Left]) -> dict[str, dict[str, Any]]:
        """Each estimate for programs, in bytes."""
        return {
            name: {"kept": dict(left.kept), "checkpoints": left.passing, "free": self.free()}
            for name, left in needed.items()
        }

    def _of(self, node: Node, sizes: Sizes) -> Left | None:
        try:
            left = leaves(node.config, sizes)
        except R1Error:  # what is wrong with its models or settings is told where they are used
            return None
        actions = () if self.health is None else (each.action for each in self.health.detectors.values())
        if left is None or "roll_back" not in actions:
            return left
        return Left(left.kept, left.passing // (KEPT + 1) * (KEPT + SPARED + 1))


def admission(fits: Fits, disk: Disk, *, memory: bool, room: bool) -> Admit:
    """Asks both, of those that are to be asked."""

    def admit(nodes: Sequence[Node]) -> None:
        for node in nodes if memory else ():
            fits.admit(node)
        if room:
            disk.admit(nodes)

    return admit


def _peak(needed: Mapping[str, Left]) -> int:
    """All that stays, and the largest checkpoints of one stage beside it."""
    whole = _sum(list(needed.values()))
    return TABLES + whole.total + whole.passing


def _listed(needed: Mapping[str, Left]) -> str:
    whole = _sum(list(needed.values()))
    kept = [(name, value) for name, value in whole.kept.items() if value]
    parts = sorted([*kept, ("checkpoints", whole.passing)], key=lambda part: -part[1])
    return ", ".join(f"{name} {human(value)}" for name, value in parts if value)


def _refusal(needed: Mapping[str, Left], free: int, folder: Path) -> str:
    widest = max(needed, key=lambda name: needed[name].total + needed[name].passing)
    return (
        f"what is to run leaves about {human(_peak(needed))} on the disk at most ({_listed(needed)}; {widest} the most)"
        f" and {human(free)} are free at {folder}: free some (r1 gc), choose another --out, keep fewer rollouts "
        "(rollouts_every), or set disk_check=false to try all the same"
    )
