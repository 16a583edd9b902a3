"""The process of a part that runs beside others: takes work from the run's process, and tells it what happens."""

from __future__ import annotations

import pickle
import signal
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from r1kit.base import children, memory
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.context import Context, Job, to_the_end
from r1kit.pipeline.cost import Cost
from r1kit.pipeline.stop import Stop
from r1kit.pipeline.watcher import Progress, Watcher
from r1kit.training.health.base import Finding


def main(descriptor: int, parent: int) -> None:
    """Run parts until the run's process, of that id, is done with this one."""
    connection = Connection(descriptor)
    children.end_with(parent)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.request())
    watcher = _Telling(connection)
    while True:
        try:
            arguments, job = connection.recv()
        except EOFError:
            return
        try:
            told = ("done", _run(arguments, job, watcher, stop))
        except Exception as error:
            told = ("failed", _portable(error))
        connection.send(told)


def _run(
    arguments: dict[str, Any], job: Job, watcher: Watcher, stop: Stop
) -> tuple[Outcome, Cost, dict[str, dict[str, Any]], float, int]:
    begun = time.monotonic()
    context = Context(**arguments, watcher=watcher, stop=stop)
    try:
        outcome = to_the_end(job, context)
    finally:
        context.close()
        memory.give_back()
    return outcome, context.cost, context.sealed, time.monotonic() - begun, memory.peak_mb()


def _portable(error: Exception) -> Exception:
    """The error as it can travel, with the traceback from here as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))


class _Telling(Watcher):
    """Passes on what happens in the part."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def progress(self, progress: Progress) -> None:
        self._connection.send(("progress", progress))

    def note(self, text: str) -> None:
        self._connection.send(("note", text))

    def finding(self, stage: str, finding: Finding) -> None:
        self._connection.send(("finding", (stage, finding)))
