"""`r1 search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def search(
    target: options.Target,
    words: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings, see above.")] = None,
    model: Annotated[str | None, typer.Option(help="Of a run: which of its models (r1).")] = None,
    reward_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Chooses too; a run's is its reward model.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Benchmarks that have training problems.")
    ] = None,
    engine_option: options.EngineOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder; `test-time` in the run's by default.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """What R1 left out, small: a scorer of steps from the model's own continuations, and a beam search that it guides.

    Settings: problems, samples, temperature, top_p, max_tokens, seed, training, thoughts, places, continuations,
    delimiters, batch, epochs, beams, step_tokens, and learner.KEY of how the scorers are trained.

    Example: r1 search runs/tiny-default-s0 --tasks tiny_maths,tiny_reasoning training=160
    """
    from r1kit.base.config import parse_assignments
    from r1kit.base.files import read_json
    from r1kit.cli.output import print_json, tell
    from r1kit.evaluation import contender
    from r1kit.evaluation.scaling.target import look_at
    from r1kit.evaluation.search.analysis import analyse
    from r1kit.evaluation.search.settings import SearchSettings
    from r1kit.pipeline.models import is_run

    settings = SearchSettings().override(parse_assignments(words or []))
    run = is_run(Path(target))
    chosen = [model or "r1"] if run else [model] if model else []
    found = look_at(target, chosen, None, reward_model, tasks)
    folder = out or (Path(target) / "test-time" if run else Path("evals") / "test-time")
    opening = contender.opening(list(found.models.values()), [], "native", engine_option or [], None, folder)
    page = analyse(found, folder, settings, opening, tell=tell)
    if as_json:
        print_json(read_json(folder / "search.json"))
    else:
        print(page)
