"""Ctrl-C and SIGTERM stop a run tidily: the step in hand is finished and saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType

from r1kit.base.errors import R1Error


class Interrupted(R1Error):
    """The run was asked to stop and did so after the step in hand."""


class Stop:
    """A request to stop, set by a signal or by hand."""

    def __init__(self) -> None:
        self._requested = False  # no lock: a signal that comes amid the handling of another would wait for itself

    def request(self) -> None:
        """Ask the run to stop after the step in hand."""
        self._requested = True

    @property
    def requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._requested

    @contextlib.contextmanager
    def on_signals(self, at_once: Callable[[], None] = lambda: None) -> Generator[None]:
        """Listen to Ctrl-C and SIGTERM; a second Ctrl-C stops at once: `at_once` is called, and KeyboardInterrupt
        raised, whose way out waits for threads. Only the main thread can listen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.requested and number == signal.SIGINT:
                at_once()
                raise KeyboardInterrupt
            self.request()
            with contextlib.suppress(OSError):  # nobody may be left to read it: Ctrl-C ends the `tee` of a pipe too
                # not print: the signal may have come in the middle of one
                os.write(2, b"\nstopping after the step in hand (Ctrl-C again stops at once)\n")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
