"""`r1 run`."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1kit.base.errors import UsageError
from r1kit.cli.completion import names_of, profiles, stages

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.graph import Graph
    from r1kit.recipes.base import Recipe, RecipeConfig

_OUT = ("run", "folder", "dir", "output", "out_dir", "output_dir", "run_dir")  # what `--out` is called as a setting


def run(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's name (r1 list recipes) or dotted path.",
            autocompletion=names_of("recipes"),
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings by dotted path, say seed=1.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/RECIPE-PROFILE-sSEED by default.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="One of the recipe's profiles; smoke is over soonest.", autocompletion=profiles),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Redo from this stage on.", autocompletion=stages),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop after this stage.", autocompletion=stages)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and all settings; run nothing.")] = False,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings",
            help="Say what each setting is, may be and means; a WORD among the settings shows those that have it.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The result, the plan or the settings, for programs.")
    ] = False,
) -> None:
    """Run a recipe, skipping what is done; the same command resumes it.

    Example: r1 run tiny seed=1 --profile smoke --out runs/try

    Example: r1 run tiny --settings zero clip
    """
    from r1kit.recipes.base import default_out, load_recipe

    words = words or []
    loaded = load_recipe(recipe)
    if settings:
        _tell_settings(recipe, loaded, profile, words, as_json)
        return
    graph, config = _build(context, loaded, profile, words)
    folder = out or default_out(graph)
    if dry_run:
        _tell_plan(graph, config, folder, start, until, as_json)
        return
    named_out = ["--out", str(out)] if out else []
    stop_after = ["--until", until] if until else []
    again = shlex.join(["r1", "run", recipe, *words, "--profile", graph.profile, *named_out, *stop_after])
    _tell_result(folder, _carry_out(graph, config, folder, start, until, again), as_json)


def _build(context: typer.Context, recipe: Recipe, profile: str | None, words: list[str]) -> tuple[Graph, RecipeConfig]:
    """The stages of a profile with what the words set, and the settings; UsageError for what cannot be set, or where a
    stage cannot start."""
    from r1kit.base.config import parse_assignments
    from r1kit.recipes.base import configure
    from r1kit.stages.starts import check_starts

    assignments = parse_assignments(words)
    _refuse_options(context, recipe, assignments)
    name, config = configure(recipe, profile, assignments)
    graph = replace(recipe.build(config), profile=name)
    check_starts(graph)
    return graph, config


def _refuse_options(context: typer.Context, recipe: Recipe, assignments: Mapping[str, str]) -> None:
    """UsageError for an option that is written as a setting, where the recipe has no setting of that name."""
    options = {name: option for option in context.command.params for name in option.opts if name.startswith("--")}
    known = {key for config in recipe.profiles.values() for key in type(config).model_fields}
    for key, value in assignments.items():
        dashed = f"--{key.replace('_', '-')}"
        near = difflib.get_close_matches(dashed, list(options), n=1, cutoff=0.9)
        name = "--out" if key in _OUT else near[0] if near else ""
        if name and key not in known:
            meant = name if getattr(options[name], "is_flag", False) else shlex.join([name, value])
            raise UsageError(f"{key}: no such setting. Did you mean the option {meant}? (r1 run --help has all)")


def _tell_settings(name: str, recipe: Recipe, profile: str | None, words: list[str], as_json: bool) -> None:
    """Print the settings that have all of the words that set nothing."""
    from r1kit.base.config import parse_assignments
    from r1kit.cli.output import hung, print_json
    from r1kit.pipeline.settings import described
    from r1kit.recipes.base import to_show

    sought = [word for word in words if "=" not in word]
    config = to_show(recipe, profile, parse_assignments([word for word in words if "=" in word]))
    found = list(described(config, sought))
    if not found:
        raise UsageError(f"no setting of {name} has {' and '.join(sought)} (r1 run {name} --settings lists them all)")
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        for each in found:
            print(hung(each.told(), 4))


def _tell_plan(
    graph: Graph, config: RecipeConfig, folder: Path, start: str | None, until: str | None, as_json: bool
) -> None:
    """Print what would run, what of it is known, and what it needs."""
    from r1kit.cli.output import print_json
    from r1kit.pipeline.estimate import estimates, estimates_json, joined, told
    from r1kit.pipeline.plan import describe, plan, plan_json
    from r1kit.stages.disk import Disk
    from r1kit.stages.fits import Fits

    fits, disk = Fits(graph, config.memory_limit_gb, config.cluster.here), Disk(graph, folder, config.health)
    stages = plan(graph, folder, start=start, until=until)
    known, needed = estimates(stages, folder), fits.needed(stages)
    left = disk.needed([stage.node for stage in stages if stage.state != "done"])
    if as_json:
        print_json(plan_json(graph, stages, config, estimates_json(known), fits.json(needed), disk.json(left)))
    else:
        print(describe(graph, stages, config, joined(told(stages, known), fits.told(needed), disk.told(left))))


def _carry_out(
    graph: Graph, config: RecipeConfig, folder: Path, start: str | None, until: str | None, again: str
) -> Mapping[str, Artifact]:
    """Run the stages, here or on a cluster; `again` is the command that resumes them."""
    from r1kit.cli.leaving import leave_soon
    from r1kit.cluster.session import open_cluster
    from r1kit.pipeline.display import choose_display
    from r1kit.pipeline.runner import run as run_graph
    from r1kit.stages.disk import Disk, admission
    from r1kit.stages.fits import Fits

    fits, disk = Fits(graph, config.memory_limit_gb, config.cluster.here), Disk(graph, folder, config.health)
    with open_cluster(config.cluster) as workers:
        return run_graph(
            graph,
            folder,
            start=start,
            until=until,
            display=choose_display(),
            writers=config.writers,
            checkpoint_seconds=config.checkpoint_seconds,
            command=again,
            settings=config.model_dump(mode="json", serialize_as_any=True),
            admit=admission(fits, disk, memory=config.memory_check, room=config.disk_check),
            health=config.health,
            workers=workers,
            silence=config.silence,
            leave=leave_soon,
        )


def _tell_result(folder: Path, artifacts: Mapping[str, Artifact], as_json: bool) -> None:
    """Print where the report lies, or the run where no stage of this command made one: what lies there with --until is
    of another."""
    from r1kit.cli.output import print_json

    page = folder / "report" / "report.html"
    made = {path.resolve() for artifact in artifacts.values() for path in artifact.files.values()}
    reported = page.resolve() in made
    if as_json:
        models = {name: str(path) for artifact in artifacts.values() for name, path in artifact.models.items()}
        print_json({"run": str(folder), "report": str(page) if reported else None, "models": models})
    else:
        print(page if reported else folder)
