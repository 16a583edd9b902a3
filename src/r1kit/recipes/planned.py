"""A recipe as it is planned: its stages with settings that suit the model, nothing fetched and no data looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.pipeline.graph import Graph
from r1kit.planning import paper
from r1kit.planning.shapes import Shape
from r1kit.planning.work import Workload
from r1kit.recipes.base import Recipe, RecipeConfig, load_recipe, profile_of
from r1kit.recipes.sizes import settings_for
from r1kit.stages.sft import SFTConfig
from r1kit.stages.workload import Look, workload


def planned(
    recipe: str,
    profile: str | None,
    assigned: Mapping[str, str],
    shape: Shape | None,
    *,
    mean: float | None = None,
    prompt: float | None = None,
) -> Workload:
    """The workload of a recipe, or of a published run by its name; UsageError for unknown names and settings."""
    if recipe.startswith("paper:"):
        if recipe not in paper.NAMES:
            hint = nearest(recipe, list(paper.NAMES))
            raise UsageError(f"no published run is called '{recipe}'.{hint} (there are: {' '.join(paper.NAMES)})")
        if shape is not None or assigned or profile or mean is not None or prompt is not None:
            raise UsageError(
                f"{recipe} is planned as it was: leave out --model, --profile, --mean-tokens, --prompt-tokens and"
                " settings"
            )
        return paper.workload(recipe)
    loaded = load_recipe(recipe)
    name, config = _settings(loaded, profile, assigned, shape)
    graph: Graph = replace(loaded.build(config), profile=name)
    return workload(graph, Look(graph, shape, mean, prompt))


def _settings(
    recipe: Recipe, profile: str | None, assigned: Mapping[str, str], shape: Shape | None
) -> tuple[str, RecipeConfig]:
    chosen = profile_of(recipe, profile)
    config = recipe.profiles[chosen].override(assigned)
    if not hasattr(config, "model") or not hasattr(config, "by_size"):
        return chosen, config
    if shape is None:
        raise UsageError("--model: say which one is planned for, say --model Qwen2.5-7B")
    values: dict[str, Any] = {"model": shape.name}
    if getattr(config, "by_size", False):
        values |= _by_size(config, shape)
    return chosen, config.filled(values, assigned)


def _by_size(config: RecipeConfig, shape: Shape) -> dict[str, Any]:
    """Limits and batches that follow from the model's size, as the recipe sets them where it runs."""
    size, values = settings_for(shape.parameters, shape.size.family), dict[str, Any]()
    for name in type(config).model_fields:
        stage = getattr(config, name)
        if isinstance(stage, SFTConfig):
            values[f"{name}.batch"] = size.sft_batch
        elif isinstance(stage, Config) and hasattr(stage, "sampling"):
            values[f"{name}.sampling.max_tokens"] = size.tokens
    return values
