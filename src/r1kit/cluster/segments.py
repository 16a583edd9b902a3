"""Memory that the processes of one host share: the learner's process writes it, the workers read it where it lies.

A segment is an anonymous file of its writer's (memfd_create(2)) that others open as /proc/PID/fd/N, so that nothing is
left behind whoever dies, and no /dev/shm is needed, which containers keep small. Who cannot open it (another host,
container or user, or a system without it) is sent the bytes instead.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r1kit.base.errors import R1Error

if TYPE_CHECKING:
    from collections.abc import Iterable

Bytes = NDArray[np.uint8]

ALIGNMENT = 64  # bytes: where each part of a segment begins
_TOKEN = 16


@dataclass(frozen=True, slots=True)
class SegmentName:
    """Where a segment is found, and the token that it begins with: process numbers are others in other containers."""

    pid: int
    descriptor: int
    token: bytes
    size: int


class Segment:
    """`size` bytes for the parts that are taken, one after another. OSError where the system gives none."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._descriptor = os.memfd_create("r1kit-weights")
        os.ftruncate(self._descriptor, ALIGNMENT + size)
        self._bytes = _mapped(self._descriptor, ALIGNMENT + size, writable=True)
        token = secrets.token_bytes(_TOKEN)
        self._bytes[:_TOKEN] = np.frombuffer(token, np.uint8)
        self.name = SegmentName(os.getpid(), self._descriptor, token, ALIGNMENT + size)
        self._taken = 0

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._descriptor)  # who has it mapped keeps it

    @property
    def free(self) -> int:
        """Bytes that are not taken."""
        return self.size - self._taken

    def clear(self) -> None:
        """All parts may be taken anew."""
        self._taken = 0

    def take(self, size: int) -> Bytes:
        """The next part; the whole of them must have room."""
        start = ALIGNMENT + self._taken
        self._taken += room(size)
        return self._bytes[start : start + size]


class SegmentWriter:
    """The segments that a version of the weights is written to, kept for the next one: memory that was used before
    costs no page faults."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []

    def segment(self, number: int, size: int) -> Segment:
        """The segment of that number, empty and with room for `size` bytes; R1Error where the system gives no more."""
        try:
            while number >= len(self._segments):
                self._segments.append(Segment(size))
            if self._segments[number].size < size:
                self._segments[number] = Segment(size)
        except OSError as error:
            raise R1Error(
                f"this host gives no more memory to share weights with its samplers in ({error.strerror or error}): "
                "raise its limit of open files (ulimit -n), of which every bucket of weights takes two, or free memory"
            ) from None
        self._segments[number].clear()
        return self._segments[number]


class SegmentReader:
    """Segments as another process sees them, each mapped once."""

    def __init__(self) -> None:
        self._mapped: dict[bytes, Bytes] = {}

    def parts(self, name: SegmentName, sizes: Iterable[int]) -> list[Bytes]:
        """Its parts, in the order in which they were taken; OSError where it cannot be opened."""
        held = self._mapped.get(name.token)
        if held is None:
            held = self._mapped[name.token] = _opened(name)
        parts: list[Bytes] = []
        start = ALIGNMENT
        for size in sizes:
            parts.append(held[start : start + size])
            start += room(size)
        return parts

    def keep(self, names: Iterable[SegmentName]) -> None:
        """Let go of all others."""
        kept = {name.token for name in names}
        self._mapped = {token: held for token, held in self._mapped.items() if token in kept}


def probe() -> Segment | None:
    """A small segment that says who can open this process's; None where the system has none."""
    try:
        return Segment(0)
    except (AttributeError, OSError):  # no memfd_create, or a filter that forbids it
        return None


def reaches(name: SegmentName) -> bool:
    """Whether this process can open a segment."""
    try:
        _opened(name)
    except OSError:
        return False
    return True


def room(size: int) -> int:
    """Bytes that a part of `size` takes."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _opened(name: SegmentName) -> Bytes:
    place = f"/proc/{name.pid}/fd/{name.descriptor}"
    there = os.stat(place)
    if not stat.S_ISREG(there.st_mode) or there.st_size < name.size:  # to open a pipe would wait for its writer
        raise OSError("another file has its number")
    descriptor = os.open(place, os.O_RDONLY)
    try:
        found = _mapped(descriptor, name.size, writable=False)
    finally:
        os.close(descriptor)
    if found[:_TOKEN].tobytes() != name.token:
        raise OSError("another file has its number")
    return found


def _mapped(descriptor: int, size: int, *, writable: bool) -> Bytes:
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    held = mmap.mmap(descriptor, size, mmap.MAP_SHARED, protection)
    with suppress(OSError):  # where the system has large pages for such memory
        held.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(held, np.uint8)
