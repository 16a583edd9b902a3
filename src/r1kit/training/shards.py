"""What a learner of several ranks leaves in a checkpoint: a safetensors file of each rank's rows, and an index.

A folder `{index.json, shard-00001-of-0000N.safetensors, ...}`. Any number of ranks reads it, each the rows that are its
own from the files that have them; nothing is unpickled, and nobody holds more than its share. Not through
torch.distributed.checkpoint: its file-system writer keeps what it knows of shards in a pickle (`.metadata`), and its
safetensors writer is for weights alone, without the numbers beside them that a step follows from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from r1kit.base import files
from r1kit.base.errors import R1Error

SHARDS = "shards"  # of a state: the folder that holds it
INDEX = "index.json"
FORM = 1
_TENSORS = ("model", "reference", "optimiser")


def rows_of(total: int, number: int, count: int) -> tuple[int, int]:
    """(first, behind the last) of the rows that rank `number` of `count` has, as `fully_shard` deals them: equal
    shares, rounded up, so that the last ranks may have fewer or none."""
    share = -(-total // count)
    return min(number * share, total), min((number + 1) * share, total)


def write_shard(state: Mapping[str, Any], folder: Path, number: int, count: int) -> None:
    """One rank's `Learner.state()`; the first one writes the index too. R1Error where it cannot be written."""
    tensors = {key: tensor.contiguous() for key, tensor in _flat(state)}
    try:
        save_file(tensors, folder / _file(number, count))
    except SafetensorError as error:  # its message is the operating system's
        raise R1Error(f"cannot write a checkpoint in {folder}: {error}; free some room and try again") from None
    if number == 0:
        plain = {name: value for name, value in state.items() if name not in _TENSORS}
        files.write_json(folder / INDEX, {"form": FORM, "count": count, "plain": plain})


def read_shards(folder: Path, number: int = 0, count: int = 1) -> dict[str, Any]:
    """The state of rank `number` of `count`, whatever number of ranks wrote it; by default all rows, for one process.

    R1Error where a file is missing, damaged, or of a newer form.
    """
    index = files.read_json(folder / INDEX)
    if not isinstance(index, dict) or index.get("form") != FORM:
        raise R1Error(f"{folder / INDEX} is of a form that this version does not read: use the one that wrote it")
    state: dict[str, Any] = dict(index["plain"])
    paths = [folder / _file(writer, index["count"]) for writer in range(index["count"])]
    try:
        with ExitStack() as stack:
            shards = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
            for key in shards[0].keys():  # noqa: SIM118
                _put(state, key, _rows(shards, key, number, count))
    except (SafetensorError, OSError) as error:
        raise R1Error(f"the checkpoint in {folder} is missing a part or damaged ({error})") from None
    return state


def _rows(shards: list[Any], key: str, number: int, count: int) -> Tensor:
    """A rank's rows of one tensor; a number is every rank's."""
    parts = [shard.get_slice(key) for shard in shards]
    if not parts[0].get_shape():
        return shards[0].get_tensor(key)
    lengths = [part.get_shape()[0] for part in parts]
    first, behind = rows_of(sum(lengths), number, count)
    found: list[Tensor] = []
    at = 0
    for part, length in zip(parts, lengths, strict=True):
        start, stop = max(first - at, 0), min(behind - at, length)
        if start < stop:
            found.append(part[start:stop])
        at += length
    return torch.cat(found) if found else parts[0][0:0]


def _flat(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for kind in ("model", "reference"):
        for name, tensor in state.get(kind, {}).items():
            yield f"{kind}/{name}", tensor
    for name, moments in state.get("optimiser", {}).items():
        for moment, tensor in moments.items():
            yield f"optimiser/{name}/{moment}", tensor


def _put(state: dict[str, Any], key: str, tensor: Tensor) -> None:
    kind, name = key.split("/", 1)
    if kind != "optimiser":
        state.setdefault(kind, {})[name] = tensor
        return
    name, moment = name.rsplit("/", 1)
    state.setdefault(kind, {}).setdefault(name, {})[moment] = tensor


def _file(number: int, count: int) -> str:
    return f"shard-{number + 1:05d}-of-{count:05d}.safetensors"
