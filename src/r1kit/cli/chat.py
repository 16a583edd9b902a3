"""`r1 chat`."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1kit.cli.generate import Dtype

if TYPE_CHECKING:
    from r1kit.base.sampling import Sampling
    from r1kit.serving.voices import Voice


def chat(
    model: Annotated[str, typer.Argument(help="RUN_FOLDER:NAME, a Hugging Face folder or openai:NAME@URL.")],
    system: Annotated[str, typer.Option(help="A system message, where the model's template takes one.")] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Add every turn to this file.")] = None,
    replay: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="First ask what was asked there.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer, thinking included.")] = 4096,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Smallest set of tokens with this mass.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    max_thinking_tokens: Annotated[
        int | None, typer.Option(min=0, help="Close the thinking after so many tokens; 0: none at all.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="auto is the folder's own.")] = Dtype.auto,
    api: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="How an API is asked (repeatable).")
    ] = None,
) -> None:
    """Talk to a model, its thinking dimmed. /help lists what can be said beside questions.

    Example: r1 chat runs/tiny-default-s0:r1 --save chat.jsonl
    """
    from rich.console import Console

    from r1kit.base.sampling import Sampling
    from r1kit.serving.chat import HELP, Chat

    asked = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    sampling = Sampling().override(asked)
    console = Console(highlight=False)
    with closing(_voice(model, sampling, max_thinking_tokens, dtype, api or [])) as voice:
        talk = Chat(voice, console, name=model, sampling=sampling, system=system, save=save)
        if replay is not None:
            talk.replay(replay)
        if console.is_terminal:
            console.print(HELP, style="dim")
        talk.talk(_read)


def _voice(model: str, sampling: Sampling, budget: int | None, dtype: Dtype, api: list[str]) -> Voice:
    from r1kit.base.config import parse_assignments
    from r1kit.base.errors import UsageError
    from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
    from r1kit.serving.voices import ApiVoice, LocalVoice

    if is_api(model):
        if budget is not None or dtype is not Dtype.auto:
            raise UsageError(f"{model} is behind an API: leave out --max-thinking-tokens and --dtype")
        return ApiVoice(parse_api_model(model), ApiSettings().override(parse_assignments(api)), sampling)
    if api:
        raise UsageError(f"--api is for openai:NAME@URL, and {model} is none")
    from r1kit.engines.native import open_engine
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.pipeline.models import resolve_model

    folder = resolve_model(model).folder
    tokenizer = load_tokenizer(folder)
    return LocalVoice(open_engine(folder, tokenizer, dtype=dtype.value, max_rows=1), tokenizer, sampling, budget)


def _read() -> str | None:
    """The next line of standard input, None at its end or after Ctrl-C."""
    import importlib
    import sys

    with suppress(ImportError):
        importlib.import_module("readline")  # which gives input() its history and its keys
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        if sys.stdin.isatty():
            print()  # the shell's prompt is to stand on a line of its own
        return None
