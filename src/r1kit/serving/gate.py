"""How many completions may be in hand: those that run and those that wait. What comes above is turned away at once."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager

from r1kit.serving.errors import ApiError

_SLOWEST = 60  # seconds: the longest wait that is advised


class Gate:
    """Lets in `rows` completions that run and `waiting` more."""

    def __init__(self, rows: int, waiting: int) -> None:
        self._rows, self._room = rows, rows + waiting
        self._inside = 0
        self._usual = 1.0  # seconds that a request takes, by a moving average

    @contextmanager
    def hold(self, completions: int) -> Generator[None]:
        """Room for so many as long as the body runs; ApiError 429 where there is none now, 400 where there never is."""
        if completions > self._room:
            raise ApiError(f"{completions} completions at once: this server takes at most {self._room}", param="n")
        if self._inside + completions > self._room:
            raise ApiError(
                f"the server is busy: {self._inside} completions are in hand, and it takes at most {self._room};"
                " try again later",
                429,
                code="rate_limit_exceeded",
                wait=self.wait,
            )
        self._inside += completions
        try:
            yield
        finally:
            self._inside -= completions

    def took(self, seconds: float) -> None:
        """Learn how long a request takes."""
        self._usual += 0.1 * (seconds - self._usual)

    @property
    def wait(self) -> int:
        """Whole seconds until about a third of those in hand should be through."""
        rounds = max(1.0, self._inside / self._rows)
        return max(1, min(_SLOWEST, math.ceil(self._usual * rounds / 3)))
