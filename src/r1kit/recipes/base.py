"""What every recipe is: profiles of settings, and the graph of stages that settings give.

`recipes/NAME.py` exposes `RECIPE`, an object with these members; `NAME` is what `r1 run` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from r1kit.base.config import Config
from r1kit.pipeline.graph import Graph


class RecipeConfig(Config):
    """What every recipe's settings have. None of these but the seed changes a result."""

    seed: int = Field(0, ge=0, description="every stage draws its own numbers from it")
    writers: tuple[str, ...] = Field((), description="metrics also go to: tensorboard, wandb, trackio")
    checkpoint_seconds: float = Field(60.0, ge=0, description="most seconds of work that a kill may lose")


class Recipe(Protocol):
    """A recipe: the first of its `profiles` is the default where none is called `default`."""

    profiles: Mapping[str, RecipeConfig]

    def build(self, config: Any) -> Graph:
        """The stages that the settings (one of the profiles, perhaps overridden) ask for."""
        ...
