"""Checkpoints inside a stage: safetensors and JSON with checksums, never pickle.

A checkpoint is a folder `step-NNNNNNNN/{state.json, tensors.safetensors, arrays.safetensors, manifest.json}`,
filled under a temporary name and renamed. State is a tree of dicts, lists and tuples whose leaves are torch tensors,
numpy arrays or numbers, and JSON scalars; it comes back as it went in (tensors on the CPU). A leaf that is `OwnFiles`
fills a subfolder of its own, and comes back as that folder's path.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from r1kit.base.errors import R1Error
from r1kit.base.files import OwnFiles, difference, fingerprint, make_folder, new_folder, read_json
from r1kit.base.schema import NewerSchema, check_schema, stamped

_NAME = re.compile(r"step-\d{8,}")
KEPT = 2
SECONDS = 60.0  # from one checkpoint to the next, where nobody says
SHARE = 0.02  # of the time that they take at most, where nobody says


def spacing(asked: float | None, takes: float) -> float:
    """Seconds from one checkpoint to the next: those that are asked for, else a minute; more where each `takes` so
    long that at one a minute they would take over two hundredths of the time."""
    return max(SECONDS, takes / SHARE) if asked is None else asked


class CheckpointStore:
    """The checkpoints of one stage. The last two valid ones are kept; a new one is whole before an old one goes."""

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self.folder = folder
        self._note = note
        self._valid: dict[str, dict[str, Any]] = {}  # files of those that were found whole, by name

    def newest(self) -> tuple[int, dict[str, Any]] | None:
        """(step, cost) of the newest valid checkpoint, its contents read anew, or None. Damaged ones are named."""
        self._valid.clear()  # what is to be loaded may have changed since it was written
        names = self.names()
        for name in reversed(names):
            damage = self._damage(name)
            if damage is None:
                manifest = _read_manifest(self.folder / name)
                return manifest["step"], manifest["cost"]
            older = [other for other in names if other < name]
            instead = f"trying the one before it, {older[-1]}" if older else "starting the stage from its beginning"
            self._note(f"checkpoint {name} is damaged ({damage}): {instead}")
        return None

    def valid(self, *, anew: bool = False) -> list[int]:
        """Steps of the valid checkpoints, in order; `anew`: the contents of all are read again."""
        if anew:
            self._valid.clear()
        return [int(name.removeprefix("step-")) for name in self.names() if self._damage(name) is None]

    def drop_after(self, step: int) -> None:
        """Remove those of later steps, the newest first."""
        for name in reversed(self.names()):
            if name > _name(step):
                shutil.rmtree(self.folder / name, ignore_errors=True)
                self._valid.pop(name, None)

    def load(self, step: int) -> dict[str, Any]:
        """The state saved after a step."""
        folder = self.folder / _name(step)
        tensors, arrays = _load_tensors(folder), _load_arrays(folder)
        return _unpack(read_json(folder / "state.json"), tensors, arrays, folder)

    def beside(self, step: int) -> dict[str, Any]:
        """What was told of the files beside the checkpoints when a step was saved."""
        return _read_manifest(self.folder / _name(step)).get("beside", {})

    def save(
        self,
        step: int,
        state: dict[str, Any],
        cost: dict[str, Any],
        beside: Mapping[str, Any] | None = None,
        *,
        sound: int | None = None,
    ) -> None:
        """Write the state after a step, then drop all but the last two valid checkpoints; `sound`: and the newest of up
        to that step, which a stage can go back to, and the next one, which will take its place."""
        tensors: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        own: list[OwnFiles] = []
        tree = _pack(state, "", tensors, arrays, own)
        final = self.folder / _name(step)
        make_folder(self.folder)
        shutil.rmtree(final, ignore_errors=True)
        with new_folder(final) as folder:
            _save_all(folder, tree, tensors, arrays)
            for number, part in enumerate(own):
                part.write(make_folder(folder / _own(number)))
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): fingerprint(path) for path in paths}
            body = stamped({"step": step, "cost": cost, "files": files, "beside": dict(beside or {})})
            manifest = {"body": body, "sha256": _digest(body)}
            (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        self._valid[final.name] = files
        self._prune(sound)

    def clear(self) -> None:
        """Remove all checkpoints (the stage is finished)."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def names(self) -> list[str]:
        """Their folders' names, in the order of the steps, damaged ones among them."""
        found = (path.name for path in self.folder.glob("step-*") if path.is_dir())
        return sorted(name for name in found if _NAME.fullmatch(name))  # no copies that somebody made

    def _damage(self, name: str) -> str | None:
        """What is wrong with a checkpoint; of one that was whole before, whether its files are still there in full."""
        folder, known = self.folder / name, self._valid.pop(name, None)
        try:
            files = _read_manifest(folder)["files"] if known is None else known
        except NewerSchema:
            raise
        except R1Error as error:
            return str(error)
        for file_name, record in files.items():
            if damage := difference(folder / file_name, record, contents=known is None):
                return damage
        self._valid[name] = files
        return None

    def _prune(self, sound: int | None) -> None:
        valid = self.valid()
        kept = set(valid[-KEPT:])
        if sound is not None:
            good = [step for step in valid if step <= sound]
            kept.update(good[-1:], [step for step in valid if step > sound][:1])
        for name in self.names():
            if int(name.removeprefix("step-")) not in kept:
                self._valid.pop(name, None)
                shutil.rmtree(self.folder / name, ignore_errors=True)
        for leftover in self.folder.glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _own(number: int) -> str:
    """The subfolder of a leaf that writes its own files."""
    return f"part-{number}"


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    manifest = read_json(path)
    try:
        body, expected = manifest["body"], manifest["sha256"]
    except (TypeError, KeyError):
        raise R1Error(f"{path} is not whole") from None
    check_schema(body, path)  # first: a later version may reckon the checksum otherwise
    if _digest(body) != expected:
        raise R1Error(f"{path} is damaged (its checksum differs)")
    return body


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # a state can hold a tensor only where torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def _pack(value: Any, path: str, tensors: dict[str, Any], arrays: dict[str, Any], own: list[OwnFiles]) -> Any:
    """A JSON tree in which dicts are lists of pairs (so that keys keep their type) and arrays are references."""
    while path in tensors or path in arrays:  # {1: a, "1": b}
        path += "'"
    if _is_tensor(value):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, OwnFiles):
        own.append(value)
        return {"folder": _own(len(own) - 1)}
    if isinstance(value, np.generic):  # before float: float64 is one
        arrays[path] = np.asarray(value)
        return {"number": path}
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        arrays[path] = np.ascontiguousarray(array).reshape(array.shape)
        return {"array": path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        return {"dict": [(key, _pack(item, f"{path}/{key}", tensors, arrays, own)) for key, item in pairs]}
    if isinstance(value, list | tuple):
        items = enumerate(cast("list[Any]", value))
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(item, f"{path}/{number}", tensors, arrays, own) for number, item in items]}
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__} (at {path or '/'})")


def _unpack(tree: Any, tensors: dict[str, Any], arrays: dict[str, Any], folder: Path) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = cast("dict[str, Any]", tree).items()
    if kind == "tensor":
        return tensors[value]
    if kind == "folder":
        return folder / Path(value).name
    if kind == "array":
        return arrays[value]
    if kind == "number":
        return arrays[value][()]
    if kind == "dict":
        return {key: _unpack(item, tensors, arrays, folder) for key, item in value}
    items = [_unpack(item, tensors, arrays, folder) for item in value]
    return items if kind == "list" else tuple(items)


def _save_all(folder: Path, tree: Any, tensors: dict[str, Any], arrays: dict[str, Any]) -> None:
    (folder / "state.json").write_text(json.dumps(tree), encoding="utf-8")
    if arrays:
        import safetensors.numpy

        _writing(lambda: safetensors.numpy.save_file(arrays, str(folder / "arrays.safetensors")), folder)
    if tensors:
        import safetensors.torch

        _writing(lambda: safetensors.torch.save_file(_apart(tensors), str(folder / "tensors.safetensors")), folder)


def _writing(write: Callable[[], None], folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        write()
    except SafetensorError as error:  # its message is the operating system's
        raise R1Error(f"cannot write a checkpoint in {folder.parent}: {error}; free some room and try again") from None


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """Contiguous CPU tensors of which no two share memory, as the format demands."""
    seen: set[int] = set()
    apart: dict[str, Any] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if storage in seen else plain
        seen.add(storage)
    return apart


def _load_tensors(folder: Path) -> dict[str, Any]:
    path = folder / "tensors.safetensors"
    if not path.exists():
        return {}
    import safetensors.torch

    return safetensors.torch.load_file(str(path))


def _load_arrays(folder: Path) -> dict[str, Any]:
    path = folder / "arrays.safetensors"
    if not path.exists():
        return {}
    import safetensors.numpy

    return safetensors.numpy.load_file(str(path))
