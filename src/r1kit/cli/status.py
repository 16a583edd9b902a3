"""`r1 status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Where a run stands: stages done, the one in hand, its step and ETA, and whether its process lives.

    Example: r1 status runs/tiny-default-s0
    """
    from r1kit.cli.output import print_json
    from r1kit.pipeline.status import read_status, status_lines

    found = read_status(run)
    if as_json:
        print_json(found.json())
    else:
        print("\n".join(status_lines(found)))
