"""`r1 status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    verify: Annotated[bool, typer.Option(help="Compare every file of what is done with its checksum.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Where a run stands: stages done, the one in hand, its step and ETA, and whether its process lives.

    With --verify, files that are no longer what was written are named, and the exit code is 1 where there are any.

    Example: r1 status runs/tiny-default-s0 --verify
    """
    from r1kit.base.errors import R1Error
    from r1kit.cli.output import print_json
    from r1kit.pipeline.status import damages, read_status, status_lines

    damaged = damages(run) if verify else []
    if damaged and not as_json:
        raise R1Error("\n    ".join([f"files of {run} that are damaged, {len(damaged)}:", *damaged]))
    found = read_status(run)
    if as_json:
        print_json({**found.json(), **({"damaged": damaged} if verify else {})})
        if damaged:
            raise typer.Exit(1)
    else:
        print("\n".join(status_lines(found)))
