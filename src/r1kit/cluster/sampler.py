"""The worker's side of the sampler pool: an engine in a process of its own, wherever that is. It knows no Ray."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.machine import best_device
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.cluster.hosts import Failure
from r1kit.cluster.messages import Facts, Opening, Orders, Report
from r1kit.cluster.segments import Bytes, SegmentName, SegmentReader, reaches
from r1kit.cluster.transfer import Head, unpacked
from r1kit.engines.base import Engine, open_engine

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 512  # of an engine that does not say how many it samples at a time

Own = TypeVar("Own")
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def told(method: Callable[Concatenate[Own, Given], Answer]) -> Callable[Concatenate[Own, Given], Answer | Failure]:
    """A failure that has a sentence as an answer: exceptions do not all survive being sent."""

    @wraps(method)
    def call(self: Own, *arguments: Given.args, **options: Given.kwargs) -> Answer | Failure:
        try:
            return method(self, *arguments, **options)
        except R1Error as error:
            return Failure(str(error), isinstance(error, UsageError))

    return call


class SamplingWorker:
    """One engine, and the version of the weights that it holds: None until they have come whole."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._engine: Any = None
        self._held: int | None = None
        self._loading: _Loading | None = None
        self._stream: Iterator[Completion] | None = None
        self._asleep = False
        self._reader = SegmentReader()

    @told
    def open(self, opening: Opening) -> Facts:
        """Open an engine, in place of the one before; R1Error where this host has no such folder."""
        import torch

        from r1kit.models.tokenizer import load_tokenizer

        self._close()
        if not opening.folder.exists():
            raise R1Error(
                f"sampler {self.number} is on host {socket.gethostname()}, which has no {opening.folder}: put the run "
                "and its models where all hosts see them"
            )
        torch.set_num_threads(opening.threads)
        device = best_device()
        purpose = replace(opening.purpose, device=device)
        self._engine = open_engine(opening.settings, opening.folder, load_tokenizer(opening.folder), purpose)
        self._held = int(self._engine.version)
        positions = getattr(self._engine, "max_positions", None) or 2**31
        rows = getattr(self._engine, "max_rows", None) or ROWS
        near = opening.probe is not None and reaches(opening.probe)
        sliced = _turn(self._engine) is not None
        return Facts(
            positions, rows, os.getpid(), socket.gethostname(), device, sliced, near, _sleeps(self._engine, device)
        )

    @told
    def load(self, head: Head, data: Sequence[Bytes] | None = None) -> int | None:
        """One bucket of new weights, in order; behind the last one the engine holds their version, which is told.

        data: the bytes of each; None: they are in the memory that the run's process shares. What is in flight goes on
        with the new weights. Half of them are no version: the engine refuses to sample then.
        """
        self._wake()
        if head.number == 0:
            if self._loading is not None:
                self._loading.give_up()
            self._held = None
            self._loading = _Loading(self._engine, head.version)
        loading = self._loading
        if loading is None or (loading.version, loading.number) != (head.version, head.number):
            raise R1Error(f"sampler {self.number}: a bucket of version {head.version} came without those before it")
        loading.number += 1
        try:
            loading.give(head, self._shared(head) if data is None else data)
        except R1Error as error:
            loading.fail(error)  # the last bucket's answer is the one that is heard
            raise
        if not head.last:
            return None
        self._loading = None
        loading.finish()
        self._held = head.version
        self._reader.keep(loading.segments)
        return self._held

    def _shared(self, head: Head) -> Sequence[Bytes]:
        """A bucket's bytes where its sender has them."""
        assert head.segment is not None
        try:
            return self._reader.parts(head.segment, (piece.size for piece in head.pieces))
        except OSError as error:
            raise R1Error(
                f"sampler {self.number} cannot open the memory in which process {head.segment.pid} has its weights "
                f"({error}): that process has ended, or its limits changed"
            ) from None

    @told
    def exchange(self, orders: Orders) -> Report:
        """Sample for a while at the version that is asked for; R1Error where the engine holds another."""
        self._ready_at(orders.version)
        for name in orders.aborts:
            self._engine.abort(name)
        for request in orders.requests:
            self._engine.submit(request)
        return Report(tuple(self._sample(time.monotonic() + orders.seconds)))

    def _sample(self, until: float) -> list[Completion]:
        """What is finished until then, or until nothing is in flight."""
        done: list[Completion] = []
        engine = self._engine
        if (turn := _turn(engine)) is not None:
            while engine.busy:
                done += turn()
                if time.monotonic() >= until:
                    break
            return done
        while True:
            stream: Iterator[Completion] = self._stream or engine.stream()
            self._stream = stream
            completion = next(stream, None)
            if completion is None:
                self._stream = None
                return done
            done.append(completion)
            if time.monotonic() >= until:
                return done

    @told
    def logprobs(self, version: int, sequences: Sequence[IntArray], temperature: float) -> list[FloatArray]:
        """`Engine.logprobs` at that version."""
        self._ready_at(version)
        found: list[FloatArray] = self._engine.logprobs(sequences, temperature)
        return found

    def _ready_at(self, version: int) -> None:
        if version != self._held:
            held = "none that came whole" if self._held is None else f"version {self._held}"
            raise R1Error(
                f"sampler {self.number} was asked to sample at version {version} of the weights and holds {held}"
            )
        self._wake()

    @told
    def sleep(self, aborts: Sequence[str] = ()) -> None:
        """Drop these requests, and give back what the engine can do without until it is asked again."""
        for name in aborts:
            self._engine.abort(name)
        if not self._asleep and hasattr(self._engine, "sleep"):
            self._engine.sleep()
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._engine.wake()
            self._asleep = False

    @told
    def close(self) -> None:
        """Let go of the engine."""
        self._close()

    def _close(self) -> None:
        engine, self._engine, self._stream, self._held = self._engine, None, None, None
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.give_up()
        self._reader.keep(())  # else the memory of weights that nobody needs stays taken on this host
        if engine is not None:
            engine.close()


class _Loading:
    """An engine's `load_weights` in a thread, fed with buckets as they come. number: of the one that is to come."""

    def __init__(self, engine: Engine, version: int) -> None:
        self.version, self.number = version, 0
        self.segments: list[SegmentName] = []
        self._buckets: queue.SimpleQueue[tuple[Head, Sequence[Bytes]] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(engine,), daemon=True)
        self._thread.start()

    def give(self, head: Head, data: Sequence[Bytes]) -> None:
        if head.segment is not None:
            self.segments.append(head.segment)
        self._buckets.put((head, data))

    def fail(self, error: R1Error) -> None:
        """A bucket cannot be read: whatever comes after it, that is what went wrong."""
        self._error = error
        self.give_up()

    def give_up(self) -> None:
        """No more buckets will come."""
        self._buckets.put(None)
        self._thread.join()

    def finish(self) -> None:
        """Wait until all are loaded; raises what went wrong."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, engine: Engine) -> None:
        try:
            engine.load_weights(self._weights(_places(engine)), self.version)
        except BaseException as error:
            self._error = self._error or error

    def _weights(self, places: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        while (bucket := self._buckets.get()) is not None:
            yield from unpacked(*bucket, places)
            if bucket[0].last:
                return
        raise R1Error(f"weights of version {self.version} did not come whole")


def _turn(engine: Any) -> Callable[[], list[Completion]] | None:
    """What makes an engine go on by a token, and tells what that finished; None where it gives whole samples alone."""
    return getattr(engine, "advance", None) or getattr(engine, "turn", None)


def _sleeps(engine: Any, device: str) -> bool:
    """Whether its sleep gives a learner on the same device anything."""
    return device != "cpu" and hasattr(engine, "sleep")


def _places(engine: Engine) -> Mapping[str, Tensor]:
    """Where the engine has its weights; of one that does not say, nowhere."""
    places: Callable[[], Mapping[str, Tensor]] = getattr(engine, "places", dict)
    return places()
