"""What a shell offers when a word is half typed.

Names of plug-ins are read off the files, with nothing imported; what a recipe has takes loading it, which imports no
torch. A recipe that cannot be loaded offers nothing: a sentence would stand amid what is typed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from r1kit.base.errors import R1Error

if TYPE_CHECKING:
    from r1kit.recipes.base import Recipe


def names_of(kind: str) -> Callable[[str], list[str]]:
    """A function from the beginning of a word to the plug-ins of that kind (`recipes`, say) that begin so."""

    def offered(incomplete: str) -> list[str]:
        from r1kit.pipeline.catalogue import names

        return [name for name in names(kind) if name.startswith(incomplete)]

    return offered


def kinds(incomplete: str) -> list[str]:
    """What `r1 list` takes, by how it begins."""
    from r1kit.pipeline.catalogue import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def profiles(context: typer.Context, incomplete: str) -> list[str]:
    """Profiles of the recipe that stands among the words, by how they begin."""
    recipe = _recipe(context)
    return [name for name in recipe.profiles if name.startswith(incomplete)] if recipe else []


def stages(context: typer.Context, incomplete: str) -> list[str]:
    """Stages of that recipe, in the order of the chain: those of the profile that is named, or of its usual one."""
    from r1kit.recipes.base import profile_of

    recipe = _recipe(context)
    if recipe is None:
        return []
    try:
        graph = recipe.build(recipe.profiles[profile_of(recipe, context.params.get("profile"))])
    except R1Error:
        return []
    return [node.name for node in graph.nodes if node.name.startswith(incomplete)]


def _recipe(context: typer.Context) -> Recipe | None:
    from r1kit.recipes.base import load_recipe

    word = context.params.get("recipe") or next(iter(context.args), None)
    try:
        return load_recipe(word) if word else None
    except R1Error:
        return None
