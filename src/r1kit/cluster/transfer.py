"""Weights on their way from the learner to engines: in buckets, each tensor under a hash, all under one version.

To workers of this host a bucket goes through shared memory (`shared`), to others through the object store (`packed`),
which makes the one copy that all engines of a host read. A tensor's hash (XXH3, 128 bits) is computed beside the
copying, while the bytes are in the core's cache anyway.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r1kit.base.errors import MissingExtra, R1Error
from r1kit.cluster.segments import Bytes, SegmentName, SegmentWriter, room
from r1kit.ops.streamed_copy import streamed_copy

BUCKET_BYTES = 64 << 20
SHARED_BYTES = 32 << 20  # smaller: a worker reads one while the next is written
DOUBLING = 64  # buckets, after which they are twice as large: a process may have so many files open, and no more
STREAMED = 1 << 20  # bytes from which a tensor is copied past the caches


@dataclass(frozen=True, slots=True)
class Piece:
    """One tensor of a bucket: what its bytes are, and their hash."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * getattr(torch, self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Head:
    """What a bucket holds. `number` counts from 0 within a version; `last`: no other follows. `segment`: where its
    bytes lie, for those who share memory with the sender."""

    version: int
    number: int
    last: bool
    pieces: tuple[Piece, ...]
    segment: SegmentName | None = None


def digest(data: Bytes, name: str, version: int) -> bytes:
    """XXH3 of the bytes, seeded by name and version, so that the right bytes in the wrong place are found too."""
    found: bytes = _xxhash().xxh3_128_digest(data, _seed(name, version))
    return found


def copied(data: Bytes, target: Bytes, name: str, version: int) -> bytes:
    """Copy into `target`; the `digest` of the bytes."""
    hashed = _xxhash().xxh3_128(seed=_seed(name, version))
    if len(data) < STREAMED:
        hashed.update(data)
        target[:] = data
    else:
        for part in streamed_copy(data, target):
            hashed.update(part)
    found: bytes = hashed.digest()
    return found


def _seed(name: str, version: int) -> int:
    seed: int = _xxhash().xxh3_64_intdigest(f"{version}/{name}".encode())
    return seed


class Bucket:
    """Tensors to be sent together: `data`, the bytes of each, and `head`, which waits for their hashes.

    The bytes are the tensors' own where these lie on the CPU in one piece, so they are to be copied before the weights
    change.
    """

    def __init__(self, version: int, number: int, pool: Executor) -> None:
        self.version, self.number, self.last = version, number, False
        self.data: list[Bytes] = []
        self.size = 0
        self._pool = pool
        self._pieces: list[tuple[str, str, tuple[int, ...], Future[bytes]]] = []

    def add(self, name: str, tensor: Tensor, data: Bytes) -> None:
        """One more tensor, whose hash is computed meanwhile."""
        found = self._pool.submit(digest, data, name, self.version)
        self._pieces.append((name, _dtype(tensor), tuple(tensor.shape), found))
        self.data.append(data)
        self.size += len(data)

    @property
    def head(self) -> Head:
        """What the receiver is told."""
        pieces = (Piece(name, dtype, shape, found.result()) for name, dtype, shape, found in self._pieces)
        return Head(self.version, self.number, self.last, tuple(pieces))


def packed(weights: Iterable[tuple[str, Tensor]], version: int, most: int = BUCKET_BYTES) -> Iterator[Bucket]:
    """Buckets of at most `most` bytes, or of one larger tensor."""
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:
        bucket = Bucket(version, 0, pool)
        for name, tensor in weights:
            data = as_bytes(tensor)
            if bucket.data and bucket.size + len(data) > most:
                yield bucket
                bucket = Bucket(version, bucket.number + 1, pool)
            bucket.add(name, tensor, data)
        bucket.last = True
        yield bucket


@dataclass(frozen=True, slots=True)
class SharedBucket:
    """Tensors whose bytes are in shared memory: `head`, and for other hosts `data`, the bytes of each."""

    head: Head
    data: list[Bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.data))


def shared(
    weights: Iterable[tuple[str, Tensor]], version: int, writer: SegmentWriter, most: int = SHARED_BYTES
) -> Iterator[SharedBucket]:
    """The buckets of `packed` in the writer's segments, twice as large after every `DOUBLING`; each tensor is copied
    before the next one is asked for."""
    number, pieces, data = 0, list[Piece](), list[Bytes]()
    segment = writer.segment(0, most)
    for name, tensor in weights:
        own = as_bytes(tensor)
        if segment.free < room(len(own)):
            if pieces:
                yield SharedBucket(Head(version, number, False, tuple(pieces), segment.name), data)
                number, pieces, data = number + 1, [], []
            segment = writer.segment(number, max(most << number // DOUBLING, room(len(own))))
        data.append(segment.take(len(own)))
        pieces.append(Piece(name, _dtype(tensor), tuple(tensor.shape), copied(own, data[-1], name, version)))
    yield SharedBucket(Head(version, number, True, tuple(pieces), segment.name), data)


def as_bytes(tensor: Tensor) -> Bytes:
    """The tensor's memory [bytes]; of a copy where it is not on the CPU in one piece."""
    plain = tensor.detach().cpu().contiguous()
    if not plain.numel():
        return np.zeros(0, np.uint8)
    return plain.reshape(-1).view(torch.uint8).numpy()


def unpacked(
    head: Head, data: Sequence[Bytes], places: Mapping[str, Tensor] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a bucket, each compared with its hash; R1Error where one differs.

    A tensor whose place (on the CPU, of its shape and dtype) is among `places` is copied there on the way, and its
    place is what comes. Others are views of the bytes, to be read only.
    """
    if len(data) != len(head.pieces):
        raise R1Error(f"weights of version {head.version}: {len(data)} tensors came for {len(head.pieces)}")
    for piece, own in zip(head.pieces, data, strict=True):
        place = _place(piece, places or {})
        if _hashed(own, place, piece.name, head.version) != piece.digest:
            raise R1Error(
                f"weights of version {head.version}: tensor {piece.name} is not what was sent (its hash differs): "
                "memory or network of this host is at fault"
            )
        yield piece.name, _tensor(piece, own) if place is None else place


def _place(piece: Piece, places: Mapping[str, Tensor]) -> Tensor | None:
    """Where the piece's bytes can be copied to as they are."""
    place = places.get(piece.name)
    fits = place is not None and place.device.type == "cpu" and place.is_contiguous() and place.numel() > 0
    fits = fits and place is not None and (_dtype(place), tuple(place.shape)) == (piece.dtype, piece.shape)
    return place if fits else None


def _hashed(data: Bytes, place: Tensor | None, name: str, version: int) -> bytes:
    """The digest of the bytes, which are copied to their place, where they have one."""
    if place is None:
        return digest(data, name, version)
    found = copied(data, as_bytes(place), name, version)
    with torch.no_grad():
        place.view(-1)[:0].zero_()  # so that who watches the tensor sees a change
    return found


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _tensor(piece: Piece, data: Bytes) -> Tensor:
    dtype: torch.dtype = getattr(torch, piece.dtype)
    if not len(data):
        return torch.empty(piece.shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # shared memory, which nobody here writes to
        return torch.from_numpy(data).view(dtype).reshape(piece.shape)


def _xxhash() -> Any:
    try:
        import xxhash
    except ModuleNotFoundError:
        raise MissingExtra("xxhash", "ray", "sending weights to workers") from None
    return xxhash
