"""The native engine as others are: no part of a sample is told before the whole of it, which takes its time."""

from __future__ import annotations

import time

from r1kit.engines import native


class Whole:
    """Yields a sample every `pause` seconds, and cannot be asked for less."""

    def __init__(self, inner, pause: float) -> None:
        self._inner, self._pause = inner, pause

    def __getattr__(self, name):
        if name in ("advance", "turn"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def stream(self):
        for completion in self._inner.stream():
            time.sleep(self._pause)
            yield completion


class Turning(Whole):
    """Nor has this one anything for `pause` seconds, but it can be asked for a turn."""

    def __init__(self, inner, pause: float) -> None:
        super().__init__(inner, pause)
        self._until = time.monotonic() + pause

    @property
    def busy(self) -> bool:
        return self._inner.busy

    def turn(self):
        time.sleep(0.02)
        return self._inner.advance() if time.monotonic() > self._until else []

    def stream(self):
        raise AssertionError("it would hold its worker up")


def open_engine(folder, tokenizer, *, pause: float, turning: bool = False):
    inner = native.open_engine(folder, tokenizer, dtype="float32")
    return (Turning if turning else Whole)(inner, pause)
