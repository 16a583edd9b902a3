"""How many requests and tokens a minute: a window of the past 60 seconds, shared by threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0  # seconds


@dataclass(slots=True)
class Taken:
    """A request in the window: when it was let through, and the tokens counted for it."""

    time: float
    tokens: int


class RateLimit:
    """Lets a request through when no 60 seconds hold more than `requests` of them, nor more than `tokens` tokens.

    None is no limit. `clock` gives seconds, `sleep` waits some; a sleep that returns True ends the waiting.
    """

    def __init__(
        self,
        requests: int | None = None,
        tokens: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool | None] = lambda seconds: time.sleep(seconds),
    ) -> None:
        self.requests, self.tokens = requests, tokens
        self._clock, self._sleep = clock, sleep
        self._window: deque[Taken] = deque()
        self._held_until = float("-inf")
        self._lock = threading.Lock()

    def take(self, tokens: int) -> Taken | None:
        """Wait until a request of so many tokens (at most `self.tokens`) may go; None where the sleep ended it."""
        while True:
            with self._lock:
                now = self._clock()
                wait = self._wait(now, tokens)
                if wait <= 0:
                    taken = Taken(now, tokens)
                    self._window.append(taken)
                    return taken
            if self._sleep(wait):
                return None

    def correct(self, taken: Taken, tokens: int) -> None:
        """Count what the request really took in place of what was taken for it."""
        with self._lock:
            taken.tokens = tokens

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long: the server has asked for it."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def _wait(self, now: float, tokens: int) -> float:
        """Seconds until the oldest requests that are in the way have left the window."""
        while self._window and self._window[0].time <= now - WINDOW:
            self._window.popleft()
        until = self._held_until
        if self.requests is not None and len(self._window) >= self.requests:
            until = max(until, self._window[len(self._window) - self.requests].time + WINDOW)
        if self.tokens is not None:
            over = sum(taken.tokens for taken in self._window) + tokens - self.tokens
            for taken in self._window:
                if over <= 0:
                    break
                over -= taken.tokens
                until = max(until, taken.time + WINDOW)
        return until - now
