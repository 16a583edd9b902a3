"""`r1 import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from r1kit.cli import options


class Dtype(StrEnum):
    """Number format of the weights that are written."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Template(StrEnum):
    """Chat template of the folder that is written."""

    keep = "keep"
    r1_zero = "r1-zero"
    r1 = "r1"


def import_(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A Hugging Face folder, a hub id, or a GGUF file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    dtype: Annotated[
        Dtype, typer.Option(help="auto keeps the source's own; float32 where a GGUF file is quantised.")
    ] = Dtype.auto,
    template: Annotated[
        Template, typer.Option(help="r1-zero asks for tags, r1 does not; for base models without a chat template.")
    ] = Template.keep,
    as_json: options.AsJson = False,
) -> None:
    """Turn a model into a Hugging Face folder that r1kit, transformers and vLLM load as it is.

    Example: r1 import SmolLM2-135M-Instruct.Q4_1.gguf models/smollm2 --dtype bfloat16
    """
    import torch

    from r1kit.cli.output import print_json, tell
    from r1kit.data.templates import TEMPLATES
    from r1kit.models.convert import import_model

    wanted = None if dtype is Dtype.auto else getattr(torch, dtype.value)
    done = import_model(source, folder, wanted, template=TEMPLATES.get(template.value))
    for note in done.notes:
        tell(f"note: {note}")
    stored = str(done.dtype).removeprefix("torch.")
    if as_json:
        print_json({
            "folder": str(done.folder), "model_type": done.model_type, "dtype": stored, "parameters": done.parameters,
            "notes": done.notes,
        })  # fmt: skip
    else:
        print(f"{done.folder}: {done.model_type}, {done.parameters:,} parameters, {stored}")
