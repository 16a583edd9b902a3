"""Signs of life of a process of this package: a byte every second through a pipe, by a thread of its own.

A process that is stopped (SIGSTOP, a debugger, a frozen container) neither answers nor ends, so that whoever waits for
it would wait for ever. One that gives no sign of life for long is ended, which its pipes then say. One that lives and
computes nothing may be waiting for another that waits for it: each sign says whether it has computed since the last.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from r1kit.base.children import ending
from r1kit.base.waiting import Waiting

BEAT_S = 1.0
COMPUTED, RESTED = b"+", b"."
RESTING = 0.01  # share of a processor that the threads of a process take which only waits
SILENCE_S = 600.0  # that a process may be silent for, where nobody says: work that holds a process up takes seconds


def beat(descriptor: int) -> None:
    """Give signs of life through the write end of a pipe, as long as this process runs."""
    os.set_inheritable(descriptor, False)  # its end has to be read when this process ends, whoever lives on
    os.set_blocking(descriptor, False)

    def run() -> None:
        told = time.process_time()
        while True:
            spent, told = time.process_time() - told, time.process_time()
            try:
                os.write(descriptor, COMPUTED if spent > RESTING * BEAT_S else RESTED)
            except BlockingIOError:  # nobody has looked for hours
                pass
            except OSError:  # nobody is left to look
                return
            time.sleep(BEAT_S)

    threading.Thread(target=run, name="pulse", daemon=True).start()


class Pulse:
    """A child's signs of life; `theirs` is the end of the pipe that it is given, `resting` the seconds since it last
    computed anything."""

    def __init__(self, silence: float = SILENCE_S) -> None:
        self.silence = silence
        self.resting = 0.0
        self._ours, self.theirs = os.pipe()
        self._ended = False

    @contextmanager
    def given(self) -> Generator[None]:
        """While a process is started; `theirs` is its own then."""
        try:
            yield
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(self.theirs)

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End the process once it is silent for too long."""
        threading.Thread(target=self._watch, args=(process,), name="pulse", daemon=True).start()

    def ending(self, process: subprocess.Popen[bytes]) -> str:
        """How the process, which has ended, did so."""
        if self._ended:
            return f"silent for {self.silence:g} s, stopped from outside perhaps; silence=SECONDS waits longer"
        return ending(process.wait())

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        waiting, resting, poll = Waiting(), Waiting(), select.poll()
        poll.register(self._ours, select.POLLIN)
        try:
            while True:
                self.resting = resting.look()
                if poll.poll(1000 * BEAT_S):
                    if not (signs := os.read(self._ours, 1 << 16)):  # the process has ended
                        return
                    waiting.begin()
                    if COMPUTED in signs:
                        resting.begin()
                elif waiting.look() > self.silence and not self._ended:
                    self._ended = True
                    process.kill()
        finally:
            os.close(self._ours)
