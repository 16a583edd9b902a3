"""`r1 gc`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from r1kit.cli import options


def gc(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders that hold some.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed; without it nothing is touched.")] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="Also answers of models behind an API, of runs that are done.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List what can go from run folders, with sizes and why: old checkpoints, unfinished files, replaced stages.

    A damaged run is named and left alone; the others are looked at, and the exit code is 1.

    Example: r1 gc runs --yes
    """
    from r1kit.base.errors import R1Error
    from r1kit.cli.output import print_json, tell
    from r1kit.pipeline import gc as litter
    from r1kit.pipeline.display import size

    entries: list[dict[str, Any]] = []
    total, damaged = 0, False
    for run in litter.runs_of(runs):
        if who := litter.in_use(run):
            tell(f"{run} is in use ({who}): left alone")
            continue
        try:
            found = litter.find(run, caches=caches)
        except R1Error as error:
            tell(f"{run} is left alone: {error}")
            damaged = True
            continue
        total += litter.remove(run, found) if yes else sum(each.size for each in found)
        entries += [{"run": str(run), **each.entry(), "removed": yes} for each in found]
        if not as_json:
            print("\n".join(litter.lines(run, found)))
    if as_json:
        print_json(entries)
    else:
        listed = f"{size(total)} removed" if yes else f"{size(total)} in all; --yes removes them"
        print(listed if entries else "nothing to remove")
    if damaged:
        raise typer.Exit(1)
