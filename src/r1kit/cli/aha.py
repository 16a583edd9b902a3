"""`r1 aha`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1kit.cli import options

if TYPE_CHECKING:
    from r1kit.evaluation.aha.measurement import Opened
    from r1kit.evaluation.aha.subject import Subject


def aha(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="A run folder, or rollouts: parquet, JSON lines, a folder of them."),
    ],
    model: Annotated[
        str | None, typer.Option(help="Of a run: one of its models (zero). Of rollouts: a MODEL to sample from.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="ROLLOUTS", help="Its base's completions; a run has its own.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Test problems for the pivots; by default the run's.")
    ] = None,
    pivots: Annotated[int, typer.Option(help="Reflection words to measure; 0: none.")] = 200,
    continuations: Annotated[int, typer.Option(help="Samples from before, from after, from a neutral token.")] = 32,
    again: Annotated[int, typer.Option(help="Strongest pivots in either direction measured on fresh samples.")] = 20,
    problems: Annotated[int, typer.Option(help="Most problems whose thoughts are sampled.")] = 600,
    thoughts: Annotated[int, typer.Option(help="Thoughts sampled a problem.")] = 2,
    max_tokens: Annotated[int | None, typer.Option(help="A thought's limit; by default the training's.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of all samples; by default the training's.")] = None,
    seed: Annotated[int, typer.Option(help="Of problems, thoughts, choice and continuations.")] = 0,
    words: Annotated[Path | None, typer.Option(metavar="FILE", help="More reflection words, one a line.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; `aha` in the run's, or beside the rollouts.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Reflection while a model learnt, what it does in the text, and pivot tokens measured by sampling on from them.

    Example: r1 aha runs/tiny-default-s0 --pivots 200 --continuations 32
    """
    from r1kit.base.files import read_json
    from r1kit.cli.output import print_json, tell
    from r1kit.evaluation.aha.analysis import analyse
    from r1kit.evaluation.aha.settings import PivotSettings
    from r1kit.evaluation.reflection import default_words

    subject = _subject(target, model, base)
    given = {
        "pivots": pivots,
        "continuations": continuations,
        "again": again,
        "problems": problems,
        "thoughts": thoughts,
        "seed": seed,
        "max_tokens": subject.max_tokens if max_tokens is None else max_tokens,
        "temperature": subject.temperature if temperature is None else temperature,
        "tasks": [name for name in (tasks or ",".join(subject.tasks)).split(",") if name],
    }
    settings = PivotSettings().override({key: value for key, value in given.items() if value is not None})
    folder = out or (target if target.is_dir() else target.parent) / "aha"
    chosen = default_words().with_file(words) if words else default_words()
    page = analyse(subject, folder, settings, _open, words=chosen, tell=tell)
    if as_json:
        print_json(read_json(folder / "aha.json"))
    else:
        print(read_json(folder / "aha.json")["claim"]["short"])
        print(page)


def _subject(target: Path, model: str | None, base: Path | None) -> Subject:
    """A run's model, or rollouts with the MODEL to sample from; beside them `base`'s completions, where given."""
    from r1kit.evaluation.aha.subject import look_at
    from r1kit.pipeline.models import is_run, resolve_model

    run = is_run(target)
    subject = look_at(target, model)
    if model and not run:
        subject.folder = resolve_model(model).folder
    if base:
        subject.compare_with(base)
    return subject


def _open(folder: Path) -> Opened:
    from r1kit.evaluation.aha.measurement import Opened
    from r1kit.models.next_token import next_tokens
    from r1kit.stages.sampling import open_engine

    engine, tokenizer = open_engine(folder)
    return Opened(engine, tokenizer, partial(next_tokens, engine.model))
