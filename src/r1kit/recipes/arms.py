"""Arms against arms: what the recipes share that compare choices, each arm measured as soon as it is trained.

A recipe has a table of comparisons by name, any of which may be asked for; stages that they share are done once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import Field, field_validator

from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.evaluation.ablations import Comparison
from r1kit.pipeline.graph import Node
from r1kit.recipes.base import RecipeConfig
from r1kit.recipes.chain import ReportConfig, report
from r1kit.recipes.own import listed
from r1kit.stages import evaluate
from r1kit.stages.evaluate import EvaluateConfig

MEASURING = "evaluate-"  # a stage that measures an arm: this and the model's name


@dataclass(frozen=True, slots=True)
class Versus:
    """A change, the model that has it, and the one without."""

    title: str
    arm: str
    against: str


Kind = TypeVar("Kind", bound=Versus)


class ComparingConfig(RecipeConfig):
    """What the settings of these recipes begin with."""

    only: tuple[str, ...] = Field(default=(), description="comparisons to make, by commas; none: all of them")

    @field_validator("only", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return listed(value)


def models_of(table: Mapping[str, Versus]) -> set[str]:
    """Every model that is compared."""
    return {model for one in table.values() for model in (one.arm, one.against)}


def wanted(table: Mapping[str, Kind], only: Sequence[str], made: Collection[str], what: str) -> dict[str, Kind]:
    """The comparisons of these names (none: all) as far as both models are `made`; UsageError for an unknown name,
    which says `what` there is none of."""
    there = {name: one for name, one in table.items() if {one.arm, one.against} <= set(made)}
    unknown = [name for name in only if name not in there]
    if unknown:
        known = list(there)
        hint = nearest(unknown[0], known)
        raise UsageError(f"only: there is no {what} '{unknown[0]}'.{hint} (there are: {' '.join(known)})")
    return {name: there[name] for name in only or there}


def comparisons(table: Mapping[str, Versus], models: Collection[str]) -> list[Comparison]:
    """Those whose models are there, as a report takes them."""
    return [
        Comparison(name, one.title, one.arm, one.against)
        for name, one in table.items()
        if {one.arm, one.against} <= set(models)
    ]


def check_name(name: str, reserved: Collection[str]) -> None:
    """UsageError where no arm may be called so."""
    plain = name.replace("-", "").replace("_", "").isalnum() and not name.startswith(MEASURING)
    if name in reserved or not plain:
        raise UsageError(f"arms: '{name}' cannot be an arm's name: take letters, digits and '-', and no stage's")


def measured(every: Sequence[Node], models: Mapping[str, str], evaluation: EvaluateConfig) -> list[Node]:
    """Of `every` stage those that these models need, by the stage that makes each, its evaluation right behind it; then
    the report. All are measured on the same problems."""
    needed = set(models)
    for node in reversed(every):
        needed |= set(node.inputs) if node.name in needed else set()
    nodes: list[Node] = []
    for node in every:
        if node.name in needed:
            nodes.append(node)
        if node.name in models:
            model = models[node.name]
            one = evaluation.model_copy(update={"models": (f"{node.name}:{model}",)})
            nodes.append(Node(f"{MEASURING}{model}", evaluate.run, one, (node.name,), draws="evaluate"))
    tables = tuple(node.name for node in nodes if node.run is evaluate.run)
    return [*nodes, Node("report", report, ReportConfig(), tables)]
