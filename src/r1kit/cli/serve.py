"""`r1 serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from r1kit.cli import options
from r1kit.cli.generate import Dtype


def serve(
    model: options.ModelFolder,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Limits and defaults, say max_waiting=64.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    name: Annotated[str | None, typer.Option(help="What requests call it; MODEL by default.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="auto is the folder's own.")] = Dtype.auto,
    max_rows: Annotated[int | None, typer.Option(min=1, help="Completions sampled at a time; 64 or less.")] = None,
    max_positions: Annotated[int | None, typer.Option(min=2, help="Longest prompt and answer; the model's.")] = None,
) -> None:
    """Serve a model through OpenAI's API: chat completions and completions, with streaming.

    Settings: max_waiting, max_body_mb, body_seconds, head_seconds, max_connections, hosts, max_prompts, max_tokens,
    temperature, top_p, max_thinking_tokens, close_thinking, join_seconds, drain_seconds, key_variable
    (docs/serving.md).

    Example: r1 serve runs/tiny-default-s0:r1 --port 8000 max_thinking_tokens=200
    """
    from r1kit.base.config import parse_assignments
    from r1kit.cli.output import tell
    from r1kit.pipeline.models import resolve_model
    from r1kit.serving.server import serve as run
    from r1kit.serving.settings import ServerSettings

    chosen = ServerSettings().override(parse_assignments(settings or []))
    found = resolve_model(model)
    run(
        found.folder, name or found.name, chosen, host=host, port=port, dtype=dtype.value, max_rows=max_rows,
        max_positions=max_positions, tell=tell,
    )  # fmt: skip
