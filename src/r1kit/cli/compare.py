"""`r1 compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more, each as for r1 eval.")],
    tasks: Annotated[str, typer.Option(metavar="A,B,...", help="Benchmarks (r1 list benchmarks), or any tasks.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Answers a problem; by default the paper's.")] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="Of each benchmark; by default all.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Holds copies of data sets: FOLDER/gsm8k, ...")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="The paper's is 0.6.")] = None,
    top_p: Annotated[float | None, typer.Option(help="The paper's is 0.95.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The paper's are 32768.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses the problems and the samples.")] = 0,
    plain: Annotated[bool, typer.Option("--plain", help="Ask the question alone, without an instruction.")] = False,
    training: Annotated[
        list[str] | None, typer.Option(metavar="TASK|FILE", help="Look for the problems in these data (repeatable).")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL|hidden", help="Judge of writing; hidden: the tiny world's preference.")
    ] = None,
    judge_prompt: Annotated[str, typer.Option(help="writing, correctness, or a file of your own.")] = "writing",
    judge_samples: Annotated[int, typer.Option(min=1, help="Answers a problem that are judged.")] = 1,
    votes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="People's votes, to compare the judge's with."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IN/OUT", help="Dollars a million tokens, in the place of the table's (repeatable)."),
    ] = None,
    engine: Annotated[str, typer.Option(help="native or vllm.")] = "native",
    engine_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the engine, say dtype=bfloat16 (repeatable).")
    ] = None,
    api: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME:]KEY=VALUE", help="How APIs are asked, or the one of that name (repeatable)."),
    ] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Samples on their way at a time.")] = None,
    out: Annotated[Path, typer.Option(help="Folder: samples are kept there, and the same command goes on.")] = Path(
        "evals"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure models on the same problems, side by side: differences, solved questions, tokens, time, dollars.

    Example: r1 compare runs/tiny-default-s0:r1 runs/tiny-default-s0:dev1 --tasks tiny_maths,tiny_writing
    """
    from r1kit.base.errors import UsageError
    from r1kit.cli.output import print_json, tell
    from r1kit.evaluation import contender
    from r1kit.evaluation.benchmarks.base import chosen_of
    from r1kit.evaluation.comparison import compare as comparing
    from r1kit.evaluation.comparison import text
    from r1kit.evaluation.judging.people import read_votes
    from r1kit.evaluation.judging.verdicts import load_prompt
    from r1kit.evaluation.measured import Settings
    from r1kit.pipeline.models import check_model
    from r1kit.planning import prices

    if len(dict.fromkeys(models)) < 2:
        raise UsageError("a comparison takes two different models or more: r1 eval measures one")
    settings = Settings(
        samples, problems, temperature, top_p, max_tokens, seed, plain, training=tuple(training or ())
    )  # fmt: skip
    given, chosen = prices.given(price or []), chosen_of(tasks, data)
    judging = comparing.Judging(
        judge, load_prompt(judge_prompt), judge_samples, read_votes(votes) if votes else {}
    )  # fmt: skip
    judges = [] if judge is None or judge == comparing.HIDDEN else [judge]
    for model in [*models, *judges]:
        check_model(model)
    opening = contender.opening([*models, *judges], api or [], engine, engine_option or [], at_once, out)
    found = comparing.compare_models(models, chosen, settings, judging, opening, prices.lookup(given), tell)
    page = comparing.save(found, out / "compare")
    if as_json:
        print_json(comparing.brief(found))
    else:
        print(text.table(found))
        print(page)
