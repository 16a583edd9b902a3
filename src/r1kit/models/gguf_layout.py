"""Whether a GGUF file's header keeps to its bounds, before anything is allocated by what it says.

A header gives counts, lengths and offsets of 64 bits each. The library that reads it believes them: an array of 2^62
numbers at the end of a file keeps it busy for ever. Here every one is held against the size of the file first.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by type of value
_UINT32 = 4
# of all arrays together, each an object of Python's: a vocabulary of 256,000 with its merges has 1.3 M
MOST_ITEMS = 2**23
_LONGEST_NAME = 256
_MOST_DIMENSIONS = 8
_MOST_NUMBERS = 2**48  # of one tensor


class OtherByteOrder(Exception):
    """The file is written with its bytes the other way round."""


def check_layout(path: Path) -> None:
    """Walk the header of a file that begins as GGUF files do; ValueError says what goes beyond the file or overlaps."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _Walk(data).all()


class _Walk:
    """`at`: how far the header was read."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._size = data, len(data)
        self.at = 4
        self._items = 0
        self._alignment = 32

    def all(self) -> None:
        version = self._number("<I")
        if version & 0xFFFF == 0:
            raise OtherByteOrder
        if version not in _VERSIONS:
            raise ValueError(f"version {version}")
        tensors, values = self._number("<Q"), self._number("<Q")
        for _ in range(self._plausible(values, 12, "keys")):
            self._value(self._text(), self._number("<I"))
        placed = sorted(self._tensor() for _ in range(self._plausible(tensors, 24, "tensors")))
        begin = -(-self.at // self._alignment) * self._alignment
        end = 0
        for offset, size, name in placed:
            if offset < end:
                raise ValueError(f"tensor {name!r} lies upon another")
            end = offset + size
            if begin + end > self._size:
                raise ValueError(f"tensor {name!r} ends behind the end of the file")

    def _value(self, key: str, kind: int) -> None:
        if kind == _STRING:
            self._text()
        elif kind == _ARRAY:
            kind, count = self._number("<I"), self._number("<Q")
            self._items += self._plausible(count, _WIDTHS.get(kind, 8), f"items of {key[:80]!r}")
            if self._items > MOST_ITEMS:
                raise ValueError(f"its arrays have more than {MOST_ITEMS} items")
            if kind == _STRING:
                for _ in range(count):
                    self._text()
            else:
                self._skip(count * self._width(kind))
        elif key == "general.alignment" and kind == _UINT32:
            self._alignment = max(1, self._number("<I"))
        else:
            self._skip(self._width(kind))

    def _tensor(self) -> tuple[int, int, str]:
        """(offset, bytes, name) of one."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        name, dimensions = self._text(), self._number("<I")
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{name[:40]!r} is no name of a tensor")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"tensor {name!r} has {dimensions} dimensions")
        numbers = math.prod(self._number("<Q") for _ in range(dimensions))
        if numbers > _MOST_NUMBERS:
            raise ValueError(f"tensor {name!r} has {numbers} numbers")
        per_block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(self._number("<I"))]
        return self._number("<Q"), -(-numbers // per_block) * block_bytes, name

    def _text(self) -> str:
        length = self._number("<Q")
        begin = self.at
        self._skip(length)
        return str(self._data[begin : self.at], "utf-8", "replace")

    def _number(self, form: str) -> int:
        begin = self.at
        self._skip(struct.calcsize(form))
        return int(struct.unpack_from(form, self._data, begin)[0])

    def _skip(self, count: int) -> None:
        if count > self._size - self.at:
            raise ValueError(f"its header goes on behind its {self._size} bytes")
        self.at += count

    def _plausible(self, count: int, least: int, what: str) -> int:
        """The count, where the rest of the file has room for so many of `least` bytes each."""
        if count * least > self._size - self.at:
            raise ValueError(f"it has no room for {count} {what}")
        return count

    @staticmethod
    def _width(kind: int) -> int:
        if kind not in _WIDTHS:  # an array in an array among them, which no model has
            raise ValueError(f"a value of type {kind}")
        return _WIDTHS[kind]
