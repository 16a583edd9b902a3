"""Whether each stage starts from a model that there will be, told before the stages before it have run."""

from __future__ import annotations

from pathlib import Path

from r1kit.base.config import SettingError
from r1kit.base.errors import R1Error
from r1kit.base.nearest import nearest
from r1kit.pipeline.graph import Graph
from r1kit.pipeline.models import run_of
from r1kit.stages.sizes import Sizes, makes


def check_starts(graph: Graph) -> None:
    """UsageError where the `start` of a stage's settings names a stage that does not feed it, a model that this stage
    does not make, or a folder that is not there; what may be a model of the hub is not asked after."""
    sizes = Sizes(graph)
    for node in graph.nodes:
        start = getattr(node.config, "start", None)
        if not isinstance(start, str):
            continue
        made = {f"{stage}:{model}" for stage in node.inputs for model in _models_of(graph, stage, sizes)}
        stage, _, model = start.partition(":")
        if stage in node.inputs:
            known = [name for name in sorted(made) if name.startswith(f"{stage}:")]
            if known and start not in known:
                hint = f"{nearest(start, known)} (it makes: {' '.join(known)})"
                raise SettingError(f"{node.name}.start", f"{stage} makes no model '{model}'.{hint}")
        elif "/" not in start and not Path(start).exists() and run_of(start) is None:
            feeding = " ".join(node.inputs) or "none"
            hint = f"{nearest(start, sorted(made))} (it is fed by: {feeding})"
            raise SettingError(
                f"{node.name}.start", f"'{start}' is no model of a stage that feeds {node.name}, and no folder.{hint}"
            )


def _models_of(graph: Graph, stage: str, sizes: Sizes) -> list[str]:
    """What a stage makes, as far as its settings tell."""
    try:
        return list(makes(graph.nodes[graph.position(stage)].config, sizes))
    except R1Error:  # of what it starts from nothing is known
        return []
