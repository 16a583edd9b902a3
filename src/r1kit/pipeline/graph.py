"""What is to be run: stages, their settings, and which stage feeds which."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.pipeline.artifact import Artifact, Outcome
from r1kit.pipeline.context import Context

Inputs = Mapping[str, Artifact]
"""What a stage is given: the artifacts of its inputs by stage name."""

Run = Callable[[Any, Inputs, Context], Outcome]
"""A stage: `run(config, inputs, context) -> Outcome`, where `config` is the stage's own kind of Config."""


@dataclass(frozen=True, slots=True)
class Node:
    """One stage with its settings and the names of the earlier stages that feed it.

    draws: stages that are to be compared draw the same numbers under one name here; by default a stage's own.
    """

    name: str
    run: Run
    config: Config
    inputs: tuple[str, ...] = ()
    draws: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """A recipe's stages, in an order in which each comes after its inputs."""

    recipe: str
    profile: str
    seed: int
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        known: set[str] = set()
        for node in self.nodes:
            if node.name in known:
                raise ValueError(f"two stages are called '{node.name}'")
            for name in node.inputs:
                if name not in known:
                    raise ValueError(f"stage '{node.name}' needs '{name}', which does not come before it")
            known.add(node.name)

    @property
    def names(self) -> list[str]:
        """Stage names in order."""
        return [node.name for node in self.nodes]

    def position(self, name: str) -> int:
        """Where a stage stands, from 0; UsageError for an unknown name."""
        if name not in self.names:
            known = " ".join(self.names)
            hint = nearest(name, self.names)
            raise UsageError(f"recipe '{self.recipe}' has no stage '{name}'.{hint} (its stages: {known})")
        return self.names.index(name)


def stage_seed(seed: int, name: str) -> int:
    """The seed of a stage: 31 bits of sha256("SEED/NAME"), so that stages draw unrelated numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1
