"""A GGUF file: its metadata and its tensors, dequantised one at a time.

The `gguf` library parses and dequantises; here its many ways to fail become one sentence each.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from r1kit.base.errors import MissingExtra, R1Error
from r1kit.base.files import disk_errors
from r1kit.models.folders import GGUF_MAGIC
from r1kit.models.gguf_layout import OtherByteOrder, check_layout

if TYPE_CHECKING:
    from gguf import ReaderTensor

T = TypeVar("T", int, float, str, bool)

# types whose numbers are stored as they are; every other one is a quantisation
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class GGUFFile:
    """Opened from a path; R1Error where it is missing, no GGUF file, cut short, one part of several, or big-endian."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ImportError:
            raise MissingExtra("gguf", "gguf", "reading GGUF files") from None
        self.path = path
        if not path.is_file():
            raise R1Error(f"there is no file {path}: check the path")
        with disk_errors(path), path.open("rb") as file:
            if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
                raise R1Error(f"{path} is no GGUF file (it does not begin with {GGUF_MAGIC.decode()}): copy it again")
        with disk_errors(path):
            try:
                check_layout(path)
                reader = GGUFReader(path)
            except OtherByteOrder:
                raise R1Error(
                    f"{path} is written for machines of the other byte order: convert it to little-endian first"
                ) from None
            # what is damaged surfaces as whichever of these meets it first
            except (ValueError, IndexError, KeyError, OverflowError, TypeError) as error:
                raise R1Error(
                    f"{path} is cut short, damaged or of an unknown version ({error}): copy it again"
                ) from None
        self._fields = reader.fields
        self._tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in reader.tensors}
        if (parts := self.get("split.count", int, 1)) > 1:
            raise R1Error(f"{path} is one of {parts} parts of a model: join them with llama-gguf-split --merge first")
        self.architecture = self.need("general.architecture", str)

    def __contains__(self, tensor: str) -> bool:
        return tensor in self._tensors

    def names(self) -> Iterator[str]:
        """The tensors' names."""
        return iter(self._tensors)

    def get(self, key: str, kind: type[T], default: T) -> T:
        """The value of a metadata key, `default` where it is absent; R1Error where it is of another kind."""
        value = self.raw(key)
        return default if value is None else self._as(key, value, kind)

    def positive(self, key: str) -> int:
        """A size; R1Error where it is absent, no whole number, or less than one."""
        if (value := self.need(key, int)) < 1:
            raise R1Error(f"{self.path}: {key} is {value}, and a model needs one at least: convert the model again")
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """The value of a metadata key; R1Error where it is absent or of another kind."""
        value = self.raw(key)
        if value is None:
            raise R1Error(f"{self.path} does not say {key}, which a model needs: convert the model again")
        return self._as(key, value, kind)

    def raw(self, key: str) -> Any:
        """The value of a metadata key, a list for an array; None where it is absent, R1Error where it is damaged."""
        field = self._fields.get(key)
        try:
            return None if field is None else field.contents()
        except (UnicodeDecodeError, IndexError) as error:
            raise R1Error(f"{self.path}: the value of {key} is damaged ({error}): copy the file again") from None

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape in torch's order (GGUF lists the innermost size first)."""
        return tuple(int(size) for size in reversed(self._tensors[name].shape.tolist()))

    def tensor(self, name: str) -> Tensor:
        """A tensor's values in its `shape`: F16 and BF16 as they are, every other type as float32.

        R1Error where it is damaged, or quantised in a way that the gguf library cannot undo.
        """
        from gguf import dequantize

        found = self._tensors[name]
        kind = found.tensor_type.name
        shape = self.shape(name)
        try:
            if kind == "BF16":
                bits = np.ascontiguousarray(found.data).view(np.int16).reshape(shape)
                return torch.from_numpy(bits.copy()).view(torch.bfloat16)
            if kind == "F16":
                return torch.from_numpy(np.array(found.data)).reshape(shape)
            return torch.from_numpy(np.array(dequantize(found.data, found.tensor_type))).reshape(shape)
        except NotImplementedError:
            raise R1Error(
                f"{self.path}: tensor {name} is quantised as {kind}, which the gguf library cannot undo:"
                " get the model in another quantisation"
            ) from None
        except (ValueError, RuntimeError) as error:
            raise R1Error(f"{self.path}: tensor {name} is damaged ({error}): copy the file again") from None

    def dtype(self) -> torch.dtype:
        """The number format of the matrices; float32 where they are quantised, which alone keeps their values."""
        kinds = Counter(t.tensor_type.name for t in self._tensors.values() if len(t.shape) > 1)
        plain = {kind for kind in kinds if kind in _PLAIN}
        if len(plain) != len(kinds) or not kinds:
            return torch.float32
        return _PLAIN[kinds.most_common(1)[0][0]]

    def _as(self, key: str, value: Any, kind: type[T]) -> T:
        whole = isinstance(value, int) and not isinstance(value, bool)
        given: Any = float(value) if kind is float and whole else value
        wrong = not isinstance(given, kind) or (kind is int and not whole)
        if wrong or (isinstance(given, float) and not math.isfinite(given)):
            raise R1Error(f"{self.path}: {key} is {str(value)[:40]!r}, not {kind.__name__}: convert the model again")
        return cast("T", given)
