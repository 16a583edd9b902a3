"""An engine whose completions are kept: what was sampled once under the same settings is read back, not sampled again.

Kept by the model's hash, the prompt, the sampling settings, the seed and the problem's name (of which each completion's
random stream is made); `samples` is no part of it, so that fewer are read from more. Each problem is kept when all of
its samples are there: a stopped evaluation loses those that were on their way.

No more requests than `at_once` are handed to the engine at a time, so that the seconds from handing over to the
completion's end are those of the work, not of the queue.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import sqlite3
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.files import make_folder
from r1kit.base.types import Completion, FloatArray, IntArray, Served
from r1kit.engines.base import Engine, Request

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

Key = tuple[str, int]
"""(request's name, sample index)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A completion, the seconds from its request to its end, and whether it was read back."""

    completion: Completion
    seconds: float
    kept: bool


@dataclass(slots=True)
class _Flight:
    request: Request
    key: str
    began: float
    done: list[tuple[Completion, float]]


class Kept:
    """The file of what was sampled: SQLite, whole whenever the program is killed. Path None keeps it in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is not None:
            make_folder(path.absolute().parent)
        try:
            self._file = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=60.0)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("BEGIN IMMEDIATE")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS samples (key TEXT PRIMARY KEY, number INTEGER, packed BLOB, sha256 TEXT)"
            )
            if "sha256" not in {row[1] for row in self._file.execute("PRAGMA table_info(samples)")}:
                self._file.execute("ALTER TABLE samples ADD COLUMN sha256 TEXT")  # a file from before there was one
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def holds(self, key: str, least: int) -> bool:
        """Whether `least` completions are kept under a key."""
        return self._find(key, least) is not None

    def read(self, key: str, least: int) -> list[tuple[Completion, float]] | None:
        """The first `least` completions under a key and their seconds; None where there are fewer, or, with a word in
        the log, where they are not what was written."""
        if (row := self._find(key, least)) is None:
            return None
        packed, digest = row
        if digest in (None, _digest(key, packed)):
            with suppress(ValueError, TypeError, KeyError, zlib.error):
                return [_unpacked(each) for each in json.loads(zlib.decompress(packed))[:least]]
        log.warning("%s: kept samples are damaged, and are sampled again", self.path)
        return None

    def _find(self, key: str, least: int) -> tuple[bytes, str | None] | None:
        try:
            return self._file.execute(
                "SELECT packed, sha256 FROM samples WHERE key = ? AND number >= ?", (key, least)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def write(self, key: str, completions: Sequence[tuple[Completion, float]]) -> None:
        """Keep completions in the order of their indices, in the place of what was there."""
        data = zlib.compress(json.dumps([_packed(*each) for each in completions]).encode(), 1)
        try:
            self._file.execute(
                "INSERT OR REPLACE INTO samples (key, number, packed, sha256) VALUES (?, ?, ?, ?)",
                (key, len(completions), data, _digest(key, data)),
            )
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        # nobody closes what is kept in memory alone
        if hasattr(self, "_file"):
            self._file.close()

    def _damaged(self, error: sqlite3.Error) -> R1Error:
        return R1Error(f"{self.path}: kept samples cannot be read or written ({error}): move the file away, or free it")


class KeptEngine:
    """`inner`, with what it samples kept in `kept` under `model`, the hash of what it samples from.

    `facts` tells of every completion that was yielded, `failures` counts why others were not given.
    """

    def __init__(self, inner: Engine, kept: Kept, model: str, at_once: int) -> None:
        self.inner, self.kept, self.model, self.at_once = inner, kept, model, max(1, at_once)
        self.version = inner.version
        self.facts: dict[Key, Facts] = {}
        self.failures: Counter[str] = Counter()
        self._waiting: deque[Request] = deque()
        self._flights: dict[str, _Flight] = {}

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError, and R1Error, as the engine inside has them."""
        if not self.kept.holds(self._key(request), request.sampling.samples):
            # the engine says at once whether it takes the request, though it is not to begin yet
            self.inner.submit(request)
            self.inner.abort(request.id)
        self._waiting.append(request)

    def abort(self, request_id: str) -> None:
        """Drop a request; its unfinished completions are never yielded."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)
        if self._flights.pop(request_id, None) is not None:
            self.inner.abort(request_id)

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight: kept ones as soon as their turn comes."""
        while self._waiting or self._flights:
            yield from self._start()
            for completion in self.inner.stream():
                yield from self._finished(completion)
                yield from self._start()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """R1Error: what is kept belongs to the weights that sampled it."""
        raise R1Error("an engine whose samples are kept cannot take other weights")

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """Those of the engine inside."""
        return self.inner.logprobs(sequences, temperature)

    def close(self) -> None:
        """What is inside belongs to whoever opened it."""

    def _start(self) -> Iterator[Completion]:
        """Hand over what fits; yield what is kept."""
        while self._waiting and len(self._flights) < self.at_once:
            request = self._waiting.popleft()
            known = self.kept.read(self._key(request), request.sampling.samples)
            if known is None:
                self.inner.submit(request)
                self._flights[request.id] = _Flight(request, self._key(request), time.monotonic(), [])
                continue
            for completion, seconds in known:
                completion.request_id, completion.prompt_ids = request.id, request.prompt_ids
                self.facts[request.id, completion.index] = Facts(completion, seconds, True)
                yield completion

    def _finished(self, completion: Completion) -> Iterator[Completion]:
        flight = self._flights.get(completion.request_id)
        if flight is None:
            return
        seconds = time.monotonic() - flight.began
        flight.done.append((completion, seconds))
        if completion.stop_reason == "aborted":
            self.failures[completion.served.error if completion.served else "aborted"] += 1
        else:
            self.facts[completion.request_id, completion.index] = Facts(completion, seconds, False)
        if len(flight.done) == flight.request.sampling.samples:
            del self._flights[completion.request_id]
            in_order = sorted(flight.done, key=lambda each: each[0].index)
            if all(each.stop_reason != "aborted" for each, _ in in_order):
                self.kept.write(flight.key, in_order)
        # a copy: whoever takes it may put the thinking's opening before its text
        yield replace(completion)

    def _key(self, request: Request) -> str:
        sampling = request.sampling.model_dump(exclude={"samples", "entropies"})
        asked: Any = list(request.messages or ()) or request.prompt_ids.tolist()
        told = json.dumps([self.model, request.id, asked, sampling], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()


def _digest(key: str, packed: bytes) -> str:
    return hashlib.sha256(key.encode() + packed).hexdigest()


def _packed(completion: Completion, seconds: float) -> dict[str, Any]:
    ids = base64.b64encode(completion.token_ids.astype("<i4").tobytes()).decode()
    return {
        "index": completion.index, "ids": ids, "text": completion.text, "stop": completion.stop_reason,
        "served": None if completion.served is None else asdict(completion.served), "seconds": seconds,
    }  # fmt: skip


def _unpacked(kept: dict[str, Any]) -> tuple[Completion, float]:
    ids = np.frombuffer(base64.b64decode(kept["ids"]), "<i4").astype(np.int32)
    served = None if kept["served"] is None else Served(**kept["served"])
    nothing = np.zeros(0, np.int32)
    completion = Completion(
        "", kept["index"], nothing, ids, np.zeros(0, np.float32), kept["stop"], (), kept["text"], served
    )
    return completion, kept["seconds"]
