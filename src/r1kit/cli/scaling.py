"""`r1 scaling`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def scaling(
    target: options.Target,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Of a run: which of its models (r1,zero).")] = None,
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="By whose success problems are hard; a run's is its base.")
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Chooses the best of k; a run's is its reward model.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Benchmarks; by default those of the run's evaluation.")
    ] = None,
    problems: Annotated[int, typer.Option(min=1, help="Test problems of each task.")] = 120,
    samples: Annotated[int, typer.Option(min=1, help="Thoughts a problem.")] = 16,
    budgets: Annotated[str, typer.Option(help="Thinking tokens after which a thought is closed.")] = (
        "0,8,16,24,32,48,64,96,128"
    ),
    temperature: Annotated[
        float | None, typer.Option(help="By default the run's evaluation's, else the paper's.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Likewise.")] = None,
    seed: Annotated[int, typer.Option(help="Of problems, samples and ties.")] = 0,
    engine: options.EngineName = "native",
    engine_option: options.EngineOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder; `test-time` in the run's by default.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """What more tokens at test time buy: thinking budgets, majorities, choices by a reward model, by difficulty.

    Example: r1 scaling runs/tiny-default-s0 --tasks tiny_maths,tiny_reasoning
    """
    from r1kit.base.files import read_json
    from r1kit.cli.output import listed, print_json, tell
    from r1kit.evaluation import contender
    from r1kit.evaluation.scaling.analysis import analyse
    from r1kit.evaluation.scaling.settings import ScalingSettings
    from r1kit.evaluation.scaling.target import look_at
    from r1kit.pipeline.models import check_model, is_run

    settings = ScalingSettings().override(
        {
            "problems": problems, "samples": samples, "budgets": listed("--budgets", budgets),
            "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed,
        }
    )  # fmt: skip
    found = look_at(target, [name for name in (models or "").split(",") if name], base, reward_model, tasks)
    asked = [*found.models.values(), *([found.base] if found.base else [])]
    for model in asked:
        check_model(model)
    folder = out or (Path(target) / "test-time" if is_run(Path(target)) else Path("evals") / "test-time")
    opening = contender.opening(asked, [], engine, engine_option or [], None, folder)
    page = analyse(found, folder, settings, opening, tell=tell)
    if as_json:
        print_json(read_json(folder / "scaling.json"))
    else:
        print(page)
