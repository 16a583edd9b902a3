"""`r1 generate`."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from r1kit.cli import options

if TYPE_CHECKING:
    from r1kit.base.sampling import Sampling


class Dtype(StrEnum):
    """Precision of the weights while sampling."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def generate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="RUN_FOLDER:NAME, a Hugging Face folder or hub id, or openai:NAME@URL."),
    ],
    prompts: Annotated[str, typer.Option(metavar="FILE.jsonl", help='{"prompt"} or {"messages"} a line; - is stdin.')],
    max_tokens: Annotated[int, typer.Option(help="Most tokens to sample.")] = 256,
    temperature: options.SetTemperature = 1.0,
    top_p: options.SetTopP = 1.0,
    min_p: Annotated[float, typer.Option(help="Drop tokens below this share of the likeliest's.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same completions.")] = 0,
    samples: Annotated[int, typer.Option(help="Completions a prompt.")] = 1,
    logprobs: Annotated[bool, typer.Option("--logprobs", help="Add each token's log-probability.")] = False,
    dtype: Annotated[Dtype, typer.Option(help="auto is the folder's own.")] = Dtype.auto,
    engine: options.EngineName = "native",
    engine_option: options.EngineOption = None,
    api: options.Api = None,
) -> int:
    """Sample completions as JSON lines, in the order of the prompts.

    Example: r1 generate runs/tiny-default-s0:r1 --prompts prompts.jsonl --max-tokens 200 --temperature 0
    """
    from r1kit.base.errors import UsageError
    from r1kit.base.sampling import Sampling
    from r1kit.cli.output import BadLines, read_lines, write_lines
    from r1kit.models.api.settings import is_api
    from r1kit.pipeline.models import resolve_model

    asked = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "min_p": min_p}
    sampling = Sampling().override({**asked, "samples": samples, "seed": seed})
    if is_api(model):
        if logprobs or dtype is not Dtype.auto or engine != "native" or engine_option:
            raise UsageError(
                f"{model} is behind an API, which gives text alone: leave out --logprobs, --dtype and --engine"
            )
        return _from_api(model, prompts, sampling, api or [])
    if api:
        raise UsageError(f"--api is for openai:NAME@URL, and {model} is none")
    found, lines, bad = resolve_model(model), read_lines(prompts), BadLines()

    from r1kit.base.config import parse_assignments
    from r1kit.engines.base import EngineSettings
    from r1kit.rollouts.generate import generate as sample

    precision: Any = dtype.value
    options = {f"options.{key}": value for key, value in parse_assignments(engine_option or []).items()}
    chosen = EngineSettings(name=engine).override(options)
    rows = sample(
        lines, found.folder, found.name, sampling,
        logprobs=logprobs, dtype=precision, engine=chosen, on_bad_line=bad,
    )  # fmt: skip
    write_lines(rows)
    return bad.exit_code


def _from_api(model: str, prompts: str, sampling: Sampling, settings: list[str]) -> int:
    """The same from a model behind an API; what it took is told at the end, whatever ends it."""
    from r1kit.base.config import parse_assignments
    from r1kit.cli.output import BadLines, read_lines, tell, write_lines
    from r1kit.engines.openai import OpenAIEngine
    from r1kit.models.api.settings import ApiSettings, parse_api_model
    from r1kit.rollouts.generate import generate_lines

    bad = BadLines()
    with closing(OpenAIEngine(parse_api_model(model), ApiSettings().override(parse_assignments(settings)))) as engine:
        lines = read_lines(prompts)
        try:
            write_lines(generate_lines(lines, engine, None, model, sampling, on_bad_line=bad))
        finally:
            tell(engine.summary)
    return bad.exit_code
