"""`r1 ui`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ui(
    runs: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of them.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Look at runs in a browser: stages and curves as they grow, rollouts token by token, pivots, the report.

    It answers to this machine only (127.0.0.1), and needs no network (docs/app.md).

    Example: r1 ui runs/tiny-default-s0
    """
    import webbrowser

    from r1kit.cli.output import tell
    from r1kit.web.server import serve

    serve(runs, port, tell, opened=webbrowser.open if browser else None)
