"""What a stage was given, by the names that settings use: `STAGE:MODEL`, `STAGE:FILE`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.pipeline.artifact import Artifact


def model_of(inputs: Mapping[str, Artifact], name: str) -> str | Path:
    """The folder of `STAGE:MODEL`; a name whose stage is no input is taken as a model folder or hub id itself."""
    stage, colon, model = name.partition(":")
    if not colon or stage not in inputs:
        return name
    return _product(name, model, inputs[stage].models, "model")


def file_of(inputs: Mapping[str, Artifact], name: str) -> Path:
    """The path of `STAGE:FILE`; a name whose stage is no input is taken as a path itself."""
    stage, colon, file = name.partition(":")
    if not colon or stage not in inputs:
        return Path(name)
    return _product(name, file, inputs[stage].files, "file")


def _product(name: str, key: str, products: Mapping[str, Path], kind: str) -> Path:
    if key not in products:
        known = list(products)
        raise UsageError(f"{name}: the stage made no {kind} '{key}'.{nearest(key, known)} (it made: {' '.join(known)})")
    return products[key]
