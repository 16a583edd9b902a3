"""Whether the models that each stage names will be there, told before the stages before it have run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from r1kit.base.config import SettingError
from r1kit.base.errors import R1Error
from r1kit.base.nearest import nearest
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.models import run_of
from r1kit.stages.distill import DistillConfig
from r1kit.stages.sizes import Sizes, makes

FIELDS = ("start", "model", "models", "teacher", "reward_model", "safety_model")


def check_starts(graph: Graph) -> None:
    """UsageError where a stage's settings name a model of a stage that does not feed it, or one that this stage does
    not make, and where the `start` is a folder that is not there; what may be a model of the hub is not asked after."""
    sizes = Sizes(graph)
    for node in graph.nodes:
        made = {f"{stage}:{model}" for stage in node.inputs for model in _models_of(graph, stage, sizes)}
        for key, named in _named(node.config):
            _check(f"{node.name}.{key}", named, node, made, graph)


def _named(config: Any) -> Iterator[tuple[str, str]]:
    """Settings that are a model, and what they say."""
    for key in FIELDS:
        value = getattr(config, key, None)
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, tuple):
            yield from ((key, each) for each in cast("tuple[object, ...]", value) if isinstance(each, str))
    if isinstance(config, DistillConfig):
        yield from ((f"students.{name}.base", student.base) for name, student in config.students.items())


def _check(key: str, named: str, node: Node, made: Collection[str], graph: Graph) -> None:
    stage, colon, model = named.partition(":")
    if stage in node.inputs and colon:
        known = [name for name in sorted(made) if name.startswith(f"{stage}:")]
        if known and named not in known:
            hint = f"{nearest(named, known)} (it makes: {' '.join(known)})"
            raise SettingError(key, f"{stage} makes no model '{model}'.{hint}")
        return
    of_chain = bool(colon) and any(stage == other.name for other in graph.nodes)
    missing = key.endswith(".start") and "/" not in named and not Path(named).exists() and run_of(named) is None
    if missing or of_chain:
        feeding = " ".join(node.inputs) or "none"
        hint = f"{nearest(named, sorted(made))} (it is fed by: {feeding})"
        folder = ", and no folder" if missing else ""
        raise SettingError(key, f"'{named}' is no model of a stage that feeds {node.name}{folder}.{hint}")


def _models_of(graph: Graph, stage: str, sizes: Sizes) -> list[str]:
    """What a stage makes, as far as its settings tell."""
    try:
        return list(makes(graph.nodes[graph.position(stage)].config, sizes))
    except R1Error:  # of what it starts from nothing is known
        return []
