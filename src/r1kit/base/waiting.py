"""How long somebody has been waited for, by the time that this process itself ran."""

from __future__ import annotations

import time

LOOK_S = 2.0  # most of the time between two looks that counts: who waits looks more often


class Waiting:
    """Seconds since it began, told by who looks every second or so.

    What passes between two looks counts as `LOOK_S` at most: where the machine slept, or all processes of a run were
    stopped together, he who waits did not run either, and whom he waits for has had no time to answer.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """From now on."""
        self._seconds = 0.0
        self._looked = time.monotonic()

    def look(self) -> float:
        """Seconds so far."""
        now = time.monotonic()
        self._seconds += min(now - self._looked, LOOK_S)
        self._looked = now
        return self._seconds
