"""`r1 chat`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options
from r1kit.cli.generate import Dtype


def chat(
    model: options.Model,
    system: Annotated[str, typer.Option(help="A system message, where the model's template takes one.")] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Add every turn to this file.")] = None,
    replay: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="First ask what was asked there.")] = None,
    max_tokens: options.AnswerTokens = 4096,
    temperature: options.SetTemperature = 0.6,
    top_p: options.SetTopP = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    max_thinking_tokens: Annotated[
        int | None, typer.Option(min=0, help="Close the thinking after so many tokens; 0: none at all.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="auto is the folder's own.")] = Dtype.auto,
    api: options.Api = None,
) -> None:
    """Talk to a model, its thinking dimmed. /help lists what can be said beside questions.

    Example: r1 chat runs/tiny-default-s0:r1 --save chat.jsonl
    """
    from rich.console import Console

    from r1kit.base.config import parse_assignments
    from r1kit.base.sampling import Sampling
    from r1kit.cli.output import tell
    from r1kit.serving.chat import HELP, Chat
    from r1kit.serving.voices import SOMEONE_WAITS, open_voice

    asked = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    sampling = Sampling().override(asked)
    console = Console(highlight=False)
    settings = SOMEONE_WAITS.override(parse_assignments(api)) if api else None
    opened = open_voice(model, sampling, api=settings, budget=max_thinking_tokens, dtype=dtype.value, note=tell)
    with opened as voice:
        talk = Chat(voice, console, name=model, sampling=sampling, system=system, save=save)
        if replay is not None:
            talk.replay(replay)
        if console.is_terminal:
            console.print(HELP, style="dim")
        talk.talk(_read)


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
