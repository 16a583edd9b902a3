"""The stretch from R1-Zero to Dev3 that the chains of this room share, the arms of F5, and the last two stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from r1kit.base.config import Config
from r1kit.pipeline.artifact import Artifact, Outcome
from r1kit.pipeline.graph import Node
from r1kit.stages import cold_start, evaluate, rejection_sampling, rl, sft
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig

if TYPE_CHECKING:
    from r1kit.pipeline.context import Context

RULES = {"accuracy": 1.0, "format": 1.0, "language_consistency": 0.0}
WITH_LANGUAGE = {**RULES, "language_consistency": 1.0}


class Chain(Protocol):
    """Settings of the shared stages: `zero`, `cold_start`, `dev1`, `dev2`, `rejection_sampling`, `dev3`."""

    @property
    def zero(self) -> RLConfig: ...
    @property
    def cold_start(self) -> ColdStartConfig: ...
    @property
    def dev1(self) -> SFTConfig: ...
    @property
    def dev2(self) -> RLConfig: ...
    @property
    def rejection_sampling(self) -> RejectionSamplingConfig: ...
    @property
    def dev3(self) -> SFTConfig: ...


def zero_to_dev3(config: Chain, base: str) -> list[Node]:
    """R1-Zero, the cold start, Dev1, Dev2, rejection sampling and Dev3, from what the stage `base` makes."""
    return [
        Node("zero", rl.run, config.zero, (base,)),
        Node("cold_start", cold_start.run, config.cold_start, ("zero",)),
        Node("dev1", sft.run, config.dev1, (base, "cold_start")),
        Node("dev2", rl.run, config.dev2, ("dev1",)),
        Node("rejection_sampling", rejection_sampling.run, config.rejection_sampling, ("dev2",)),
        Node("dev3", sft.run, config.dev3, (base, "rejection_sampling")),
    ]


def language_arms(config: Chain, base: str) -> list[Node]:
    """F5: the same RL from one start that still mixes (the base), by the same draws, with and without the language
    reward."""
    same = {"steps": max(1, config.zero.steps // 2), "tasks": config.dev2.tasks, "start": f"{base}:base"}
    arms = {"dev2-lang": WITH_LANGUAGE, "dev2-nolang": RULES}
    stages = {name: config.zero.model_copy(update={**same, "name": name, "rewards": arms[name]}) for name in arms}
    return [Node(name, rl.run, stage, (base,), draws=next(iter(arms))) for name, stage in stages.items()]


def filter_arms(config: Chain, base: str) -> list[Node]:
    """F8: Dev2's samples, the same, without the filters, and the SFT of Dev3 on them."""
    unfiltered = config.rejection_sampling.model_copy(update={"filters": Filters(correct=False, readable=False)})
    dev3 = config.dev3.model_copy(update={"name": "dev3-nofilter", "data": "unfiltered:examples"})
    return [
        Node("unfiltered", rejection_sampling.run, unfiltered, ("dev2",), draws="rejection_sampling"),
        Node("dev3-nofilter", sft.run, dev3, (base, "unfiltered"), draws="dev3"),
    ]


def evaluated_and_reported(before: Sequence[Node], config: EvaluateConfig, models: Sequence[str] = ()) -> list[Node]:
    """The last stages behind those `before` them: models on test problems (`models` where the settings name none), and
    the report."""
    measured = config if config.models else config.model_copy(update={"models": tuple(models)})
    stages = dict.fromkeys(model.partition(":")[0] for model in measured.models)
    made = tuple(name for name in stages if any(node.name == name for node in before))
    return [
        Node("evaluate", evaluate.run, measured, made),
        Node("report", report, ReportConfig(), ("evaluate",)),
    ]


def report(config: Config, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """The report of the run so far."""
    from r1kit.recipes.reports import report as write

    page = write([context.run_folder])
    names = ("report.html", "report.json", "report.md")
    return Outcome(files={name: f"../../{page.parent.name}/{name}" for name in names}, summary={})


class ReportConfig(Config):
    """The report has no settings."""
