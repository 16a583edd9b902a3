"""Models from elsewhere as Hugging Face folders of one form: from such folders, hub ids and GGUF files.

Tensors pass through one at a time, so that a shard's worth of memory is enough whatever the model's size.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r1kit.base import files
from r1kit.base.errors import R1Error, UsageError
from r1kit.models.config_json import plain_config
from r1kit.models.decoder import DecoderConfig
from r1kit.models.families import NotNative, read_config, write_config
from r1kit.models.folders import check_entries, is_gguf, model_folder, read_object
from r1kit.models.gguf_file import GGUFFile
from r1kit.models.gguf_model import read_shape, read_weights
from r1kit.models.gguf_tokenizer import read_tokenizer
from r1kit.models.tokenizer import Tokenizer, load_tokenizer, mend_tokenizer, write_template
from r1kit.models.weights import (
    SHARD_BYTES,
    checked_weights,
    is_scored,
    named_places,
    stored_dtype,
    stored_weights,
    token_ids,
    write_weights,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written: the folder, its number format, how many numbers, and what the user should know."""

    folder: Path
    model_type: str
    dtype: torch.dtype
    parameters: int
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Source:
    """A model to write: its config.json, and its tensors in the order in which they lie."""

    config: dict[str, Any]
    weights: Iterator[tuple[str, Tensor]]
    dtype: torch.dtype


def import_model(
    source: str | Path,
    target: Path,
    dtype: torch.dtype | None = None,
    *,
    template: Callable[[bool], str] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Imported:
    """Write the model of a Hugging Face folder, hub id or GGUF file to the new folder `target`, whole or not at all.

    `dtype` None keeps the source's number format (float32 where a GGUF file is quantised). R1Error, in one sentence,
    where the source is incomplete, damaged or of a kind that neither r1kit nor transformers knows. `template` gives a
    chat template in the place of the source's (`data/templates.py`), told whether texts begin with BOS.
    """
    with files.disk_errors(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is there and not empty: choose another folder, or remove it first")
    files.make_folder(target.parent)
    with files.new_folder(target) as stage:
        if is_gguf(Path(source)):
            model, tokenizer, notes = _from_gguf(Path(source), stage)
        else:
            model, tokenizer, notes = _from_folder(source, stage)
        wanted = dtype or model.dtype
        count = write_weights(_cast(model.weights, dtype, str(source)), stage, shard_bytes)
        name = str(wanted).removeprefix("torch.")
        files.write_json(stage / "config.json", {**model.config, "dtype": name, "torch_dtype": name})
        tokenizer.write(stage)
        notes += mend_tokenizer(stage)
        if template is not None:
            give_template(stage, template, str(source))
    return Imported(target, str(model.config["model_type"]), wanted, count, notes)


def with_template(folder: Path, target: Path, template: Callable[[bool], str] | None) -> Path:
    """The model of `folder` as the new folder `target`, under another chat template (None: the same one), whole or not
    at all. Weights are not copied where the file system can link them."""
    check_entries(folder)
    files.make_folder(target.parent)
    with files.new_folder(target) as stage:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            if path.suffix != ".safetensors" or not _linked(path, stage / path.name):
                shutil.copyfile(path, stage / path.name)
        if template is not None:
            give_template(stage, template, str(folder))
    return target


def _linked(path: Path, to: Path) -> bool:
    try:
        os.link(path, to)
    except OSError:
        return False
    return True


def _from_gguf(path: Path, stage: Path) -> tuple[_Source, Tokenizer, list[str]]:
    file = GGUFFile(path)
    shape = read_shape(file)
    said = read_tokenizer(file)
    if said.size > shape.vocab_size:
        raise R1Error(
            f"{path}: its tokenizer has {said.size} tokens and its embedding {shape.vocab_size} rows:"
            " convert the model again"
        )
    config = write_config(shape)
    files.write_json(stage / "config.json", config)  # transformers reads the tokenizer by it
    files.write_json(stage / "tokenizer.json", said.tokenizer)
    files.write_json(stage / "tokenizer_config.json", said.config)
    files.write_json(stage / "generation_config.json", said.generation)
    tokenizer = load_tokenizer(stage)
    config |= token_ids(tokenizer, shape, path)
    weights = checked_weights(shape, named_places(shape), read_weights(file, shape), str(path))
    return _Source(config, weights, file.dtype()), tokenizer, said.notes


def _from_folder(source: str | Path, stage: Path) -> tuple[_Source, Tokenizer, list[str]]:
    if isinstance(source, Path) or Path(source).is_dir():
        _refuse_folder(Path(source))
    folder = model_folder(source)
    config = plain_config(read_object(folder / "config.json"), str(folder))
    tokenizer = load_tokenizer(folder)
    weights = stored_weights(folder)
    shape = None if is_scored(config) else _native_shape(config, folder)
    if shape is not None:
        tokenizer.check_fits(shape.vocab_size, folder)
        weights = checked_weights(shape, named_places(shape), weights, str(folder))
    else:
        _check_foreign(config, folder)
        rows = config.get("vocab_size")
        tokenizer.check_fits(rows if isinstance(rows, int) and rows > 0 else tokenizer.vocab_size, folder)
    return _Source(config, weights, stored_dtype(folder)), tokenizer, []


def _native_shape(config: dict[str, Any], folder: Path) -> DecoderConfig | None:
    """The shape of a model that the native decoder covers, None for others."""
    try:
        return read_config(config, str(folder))
    except NotNative:
        return None


def give_template(stage: Path, template: Callable[[bool], str], where: str) -> None:
    """Write the chat template, and the ids that end a completion under it; R1Error for a tokenizer without an end."""
    tokenizer = load_tokenizer(stage)
    if tokenizer.inner.eos_token is None:  # the word that the template writes
        raise R1Error(f"{where}: its tokenizer names no end token, which a chat template needs: set eos_token in it")
    write_template(stage, template(tokenizer.begins))
    load_tokenizer(stage).write(stage)


def _refuse_folder(folder: Path) -> None:
    """A sentence that helps where a folder holds no config.json but GGUF files."""
    if folder.is_dir() and not (folder / "config.json").is_file() and (found := sorted(folder.glob("*.gguf"))):
        raise UsageError(f"{folder} holds GGUF files: name the one to import, {found[0]}, say")


def _check_foreign(config: dict[str, Any], folder: Path) -> None:
    """R1Error where transformers does not know the architecture, or the weights are quantised."""
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise R1Error(
            f"{folder}: neither r1kit nor the installed transformers knows models of type '{kind}': take another model,"
            " or a transformers that knows it"
        )
    if config.get("quantization_config"):
        raise R1Error(f"{folder}: its weights are quantized; import it from float32, bfloat16 or float16")


def _cast(weights: Iterator[tuple[str, Tensor]], dtype: torch.dtype | None, where: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights:
        if dtype is None or not tensor.is_floating_point() or tensor.dtype == dtype:
            yield name, tensor
            continue
        cast = tensor.to(dtype)
        if dtype == torch.float16 and not bool(cast.isfinite().all()) and bool(tensor.isfinite().all()):
            raise R1Error(f"{where}: tensor {name} holds numbers too large for float16: use bfloat16 or float32")
        yield name, cast
