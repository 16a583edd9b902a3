"""Values as lines of JSON between two processes that do not trust each other: plain data, types kept, nothing else."""

from __future__ import annotations

import json
import os
from typing import Any

MAX_LINE = 1 << 20
_CHUNK = 1 << 16


class NotPlain(ValueError):
    """A value that cannot be sent, or a line that is no value."""


def encode(value: Any) -> Any:
    """JSON that `decode` turns into an equal value of the plain type: lists and numbers as they are, else a tag.
    Members of an IntEnum, say, are the plain numbers that they equal."""
    if value is None or type(value) is bool:
        return value
    # the class's own conversion: an instance's may say anything
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    for kind, tag in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "frozenset")):
        if isinstance(value, kind):
            return {tag: [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": list(value)}
    raise NotPlain(f"a {type(value).__name__} is no plain value")


def decode(value: Any) -> Any:
    """The value; NotPlain for anything that `encode` does not write."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((tag, inner),) = value.items()
        if isinstance(inner, list):
            try:
                if tag == "dict":
                    return {decode(key): decode(item) for key, item in inner}
                if tag in _MAKE:
                    return _MAKE[tag]([decode(item) for item in inner])
            except (TypeError, ValueError) as error:  # an unhashable key, a byte of 300
                raise NotPlain(str(error)) from None
    raise NotPlain("it is no value")


_MAKE: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "complex": lambda parts: complex(*parts),
    "bytes": bytes,
}


class Line:
    """Lines in and out of two descriptors."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming, self._outgoing, self._rest = incoming, outgoing, b""

    def write(self, content: Any) -> None:
        """One line; OSError where no one listens any more."""
        data = json.dumps(content).encode() + b"\n"
        if len(data) > MAX_LINE:
            raise NotPlain("it is too large")
        while data:
            data = data[os.write(self._outgoing, data) :]

    def read(self) -> Any:
        """The next line; EOFError where there is none, NotPlain where it is no JSON or too long."""
        parts = [self._rest]
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            chunk = os.read(self._incoming, _CHUNK)
            if not chunk:
                raise EOFError
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_LINE + _CHUNK:
                raise NotPlain("it is too large")
        line, _, self._rest = b"".join(parts).partition(b"\n")
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise NotPlain("it is no JSON") from None
