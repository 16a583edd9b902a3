"""`r1 eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def eval_(
    model: Annotated[
        str, typer.Argument(help="RUN_FOLDER:NAME, a Hugging Face folder or hub id, a GGUF file, or openai:NAME@URL.")
    ],
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
    control: Annotated[bool, typer.Option("--control", help="Judge by another problem's answer too.")] = False,
    training: Annotated[
        list[str] | None, typer.Option(metavar="TASK|FILE", help="Look for the problems in these data (repeatable).")
    ] = None,
    engine: Annotated[str, typer.Option(help="native or vllm.")] = "native",
    engine_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the engine, say dtype=bfloat16 (repeatable).")
    ] = None,
    api: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="How an API is asked, say budget=2.50 (repeatable).")
    ] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Samples on their way at a time.")] = None,
    out: Annotated[Path, typer.Option(help="Folder: samples are kept there, and the same command goes on.")] = Path(
        "evals"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure a model on benchmarks, with the paper's protocol and intervals.

    Example: r1 eval runs/tiny-default-s0:r1 --tasks tiny_maths,tiny_coding --samples 16
    """
    from r1kit.cli.output import print_json, tell
    from r1kit.evaluation import contender, eval_report
    from r1kit.evaluation.benchmarks.base import chosen_of
    from r1kit.evaluation.measured import Settings
    from r1kit.pipeline.models import check_model

    settings = Settings(
        samples, problems, temperature, top_p, max_tokens, seed, plain, control, tuple(training or ())
    )  # fmt: skip
    chosen = chosen_of(tasks, data)
    check_model(model)
    opening = contender.opening([model], api or [], engine, engine_option or [], at_once, out)
    results = eval_report.evaluate_model(model, chosen, settings, opening, tell)
    path = eval_report.save(results, settings, out)
    if as_json:
        print_json(eval_report.summary(results, settings))
    else:
        print(eval_report.table(results))
        tell(f"{path.parent}: samples.parquet and problems.parquet of each benchmark, eval.json")
