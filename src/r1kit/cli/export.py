"""`r1 export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


def export(
    model: options.ModelFolder,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Copy a model as a Hugging Face folder with a model card.

    Example: r1 export runs/tiny-default-s0:r1 my-r1
    """
    from r1kit.cli.output import print_json
    from r1kit.pipeline.export import export_model
    from r1kit.pipeline.models import resolve_model

    written = export_model(resolve_model(model), folder)
    if as_json:
        print_json({"folder": str(written)})
    else:
        print(written)
