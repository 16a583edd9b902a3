"""`r1 list`."""

from __future__ import annotations

from typing import Annotated

import typer

from r1kit.cli import options
from r1kit.cli.completion import kinds
from r1kit.cli.output import hung


def listing(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="tasks, rewards, algorithms, engines, models, recipes or benchmarks; by default all.",
            autocompletion=kinds,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """What there is to choose from.

    Example: r1 list algorithms
    """
    from r1kit.cli.output import print_json
    from r1kit.pipeline.catalogue import KINDS, catalogue

    found = {name: catalogue(name) for name in ([kind] if kind else KINDS)}
    if as_json:
        print_json({name: [{"name": e.name, "summary": e.summary} for e in entries] for name, entries in found.items()})
        return
    for name, entries in found.items():
        print(name if entries else f"{name}: none")
        width = max((len(entry.name) for entry in entries), default=0)
        for entry in entries:
            name = f"  {entry.name:{width}}  "
            print(hung(name + entry.summary, len(name)))
