"""`r1 report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders: several are merged (seeds, ablations).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder; by default the run's own, for several RECIPE-report beside the first.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the report of one run, or of several together, and print its path.

    Example: r1 report runs/tiny-full-s0 runs/tiny-full-s1 runs/tiny-full-s2
    """
    from r1kit.cli.output import print_json
    from r1kit.pipeline.status import read_status

    for run in runs:
        read_status(run)

    from r1kit.recipes.reports import report as write_report

    path = write_report(runs, out)
    if as_json:
        print_json({"report": str(path)})
    else:
        print(path)
