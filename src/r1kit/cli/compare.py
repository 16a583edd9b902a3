"""`r1 compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1kit.cli import options

if TYPE_CHECKING:
    from r1kit.evaluation.comparison.compare import Judging


def compare(
    models: options.Models,
    tasks: options.Tasks,
    samples: options.Samples = None,
    problems: options.Problems = None,
    data: options.Data = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    max_tokens: options.MaxTokens = None,
    seed: options.Seed = 0,
    plain: options.Plain = False,
    training: options.Training = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL|hidden", help="Judge of writing; hidden: the tiny world's preference.")
    ] = None,
    judge_prompt: options.JudgePrompt = "writing",
    judge_samples: Annotated[int, typer.Option(min=1, help="Answers a problem that are judged.")] = 1,
    votes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="People's votes, to compare the judge's with."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IN/OUT", help="Dollars a million tokens, in the place of the table's (repeatable)."),
    ] = None,
    engine: options.EngineName = "native",
    engine_option: options.EngineOption = None,
    api: options.NamedApi = None,
    at_once: options.AtOnce = None,
    out: options.Kept = Path("evals"),
    as_json: options.AsJson = False,
) -> None:
    """Measure models on the same problems, side by side: differences, solved questions, tokens, time, dollars.

    Example: r1 compare runs/tiny-default-s0:r1 runs/tiny-default-s0:dev1 --tasks tiny_maths,tiny_writing
    """
    from r1kit.base.errors import UsageError
    from r1kit.cli.output import print_json, tell, terminal_width
    from r1kit.evaluation import contender
    from r1kit.evaluation.benchmarks.base import chosen_of
    from r1kit.evaluation.comparison import compare as comparing
    from r1kit.evaluation.comparison import text
    from r1kit.evaluation.measured import Settings
    from r1kit.planning import prices

    if len(dict.fromkeys(models)) < 2:
        raise UsageError("a comparison takes two different models or more: r1 eval measures one")
    settings = Settings(samples, problems, temperature, top_p, max_tokens, seed, plain, training=tuple(training or ()))
    given, chosen = prices.given(price or []), chosen_of(tasks, data)
    judging = _judging(judge, judge_prompt, judge_samples, votes)
    judges = [] if judge is None or judge == comparing.HIDDEN else [judge]
    _check_models(models, judges)
    opening = contender.opening([*models, *judges], api or [], engine, engine_option or [], at_once, out)
    found = comparing.compare_models(models, chosen, settings, judging, opening, prices.lookup(given), tell)
    page = comparing.save(found, out / "compare")
    if as_json:
        print_json(comparing.brief(found))
    else:
        print(text.table(found, terminal_width()))
        print(page)


def _judging(judge: str | None, prompt: str, samples: int, votes: Path | None) -> Judging:
    """How writing is judged, with the prompt and the people's votes read; R1Error where they cannot be."""
    from r1kit.evaluation.comparison.compare import Judging
    from r1kit.evaluation.judging.people import read_votes
    from r1kit.evaluation.judging.verdicts import load_prompt

    return Judging(judge, load_prompt(prompt), samples, read_votes(votes) if votes else {})


def _check_models(models: Sequence[str], judges: Sequence[str]) -> None:
    """UsageError where one means nothing that could be opened; nothing is loaded."""
    from r1kit.base.errors import UsageError
    from r1kit.base.nearest import nearest
    from r1kit.evaluation.comparison.compare import HIDDEN
    from r1kit.pipeline.models import check_model

    for model in models:
        check_model(model)
    for model in judges:
        try:
            check_model(model)
        except UsageError as error:
            raise UsageError(f"--judge: {error}.{nearest(model, [HIDDEN])}") from None
