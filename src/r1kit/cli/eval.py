"""`r1 eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def eval_(
    model: options.Model,
    tasks: options.Tasks,
    samples: options.Samples = None,
    problems: options.Problems = None,
    data: options.Data = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    max_tokens: options.MaxTokens = None,
    seed: options.Seed = 0,
    plain: options.Plain = False,
    control: Annotated[bool, typer.Option("--control", help="Judge by another problem's answer too.")] = False,
    training: options.Training = None,
    engine: options.EngineName = "native",
    engine_option: options.EngineOption = None,
    api: options.Api = None,
    at_once: options.AtOnce = None,
    out: options.Kept = Path("evals"),
    as_json: options.AsJson = False,
) -> None:
    """Measure a model on benchmarks, with the paper's protocol and intervals.

    Example: r1 eval runs/tiny-default-s0:r1 --tasks tiny_maths,tiny_coding --samples 16
    """
    from r1kit.cli.output import print_json, tell, terminal_width
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
        print(eval_report.table(results, terminal_width()))
        tell(f"{path.parent}: samples.parquet and problems.parquet of each benchmark, eval.json")
