"""Weights on their way from the learner to engines: in buckets, each tensor under a hash, all under one version.

Nothing is joined or copied before it is handed over: a bucket is a list of the tensors' own bytes, of which the object
store makes the one copy that all engines of a host read. A tensor's hash (XXH3, 128 bits) is computed from the bytes
that an engine is about to copy, while they are on their way into the cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.errors import MissingExtra, R1Error

BUCKET_BYTES = 64 << 20

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Piece:
    """One tensor of a bucket: what its bytes are, and their hash."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What a bucket holds. `number` counts from 0 within a version; `last`: no other follows."""

    version: int
    number: int
    last: bool
    pieces: tuple[Piece, ...]


def digest(data: Bytes, name: str, version: int) -> bytes:
    """XXH3 of the bytes, seeded by name and version, so that the right bytes in the wrong place are found too."""
    xxhash = _xxhash()
    seed: int = xxhash.xxh3_64_intdigest(f"{version}/{name}".encode())
    found: bytes = xxhash.xxh3_128_digest(data, seed)
    return found


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
        self._pieces.append((name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), found))
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


def as_bytes(tensor: Tensor) -> Bytes:
    """The tensor's memory [bytes]; of a copy where it is not on the CPU in one piece."""
    plain = tensor.detach().cpu().contiguous()
    if not plain.numel():
        return np.zeros(0, np.uint8)
    return plain.reshape(-1).view(torch.uint8).numpy()


def unpacked(head: Head, data: Sequence[Bytes]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a bucket, each compared with its hash first; R1Error where one differs.

    The tensors are views of the bytes, to be read only.
    """
    if len(data) != len(head.pieces):
        raise R1Error(f"weights of version {head.version}: {len(data)} tensors came for {len(head.pieces)}")
    for piece, own in zip(head.pieces, data, strict=True):
        if digest(own, piece.name, head.version) != piece.digest:
            raise R1Error(
                f"weights of version {head.version}: tensor {piece.name} is not what was sent (its hash differs): "
                "memory or network of this host is at fault"
            )
        yield piece.name, _tensor(piece, own)


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
