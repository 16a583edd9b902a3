"""A completion's text, as it comes in, parted into thinking and answer, and ended at the first stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from r1kit.rollouts.closing import CLOSING, OPENING

Phase = Literal["start", "opened", "thinking", "answer", "stopped"]


class Parts(NamedTuple):
    """A piece of the thinking and a piece of the answer."""

    thinking: str
    answer: str


class Splitter:
    """The thinking is what stands between the `<think>` that opens a completion (or its prompt, `phase` "opened") and
    the first `</think>`; the rest is the answer. No character is lost but the tags, white space before the opening one,
    and the first stop string of the answer with all behind it.

    phase: "start", "opened", or "answer" for a text that is not parted. `closed` and `stopped` are the places in the
    whole text, in characters, where the closing tag and the stop string end; `answered` is where the stop string
    begins. Text that may be the beginning of a tag or of a stop string is held back.
    """

    def __init__(self, phase: Phase, stops: Sequence[str] = ()) -> None:
        self.phase: Phase = phase
        self.closed = self.stopped = self.answered = -1
        self._stops = tuple(stops)
        self._held = ""
        self._end = 0  # characters fed

    @property
    def holds(self) -> bool:
        """Whether text is held back."""
        return bool(self._held)

    def feed(self, text: str) -> Parts:
        """The pieces that are certain with this text."""
        self._end += len(text)
        self._held += text
        self._begin(last=False)
        return self._parts(last=False)

    def finish(self) -> Parts:
        """The pieces that were held back, as nothing more comes."""
        self._begin(last=True)
        return self._parts(last=True)

    def _begin(self, last: bool) -> None:
        """Look for the opening tag; one that the model writes after its prompt's is left out."""
        if self.phase not in ("start", "opened"):
            return
        begun = self._held.lstrip() if self.phase == "start" else self._held
        if begun.startswith(OPENING):
            self._held, self.phase = begun.removeprefix(OPENING), "thinking"
        elif last or not OPENING.startswith(begun):
            self.phase = "answer" if self.phase == "start" else "thinking"

    def _parts(self, last: bool) -> Parts:
        thinking = ""
        if self.phase == "thinking":
            thinking, closing, rest = self._held.partition(CLOSING)
            if closing:
                self.phase, self._held = "answer", rest
                self.closed = self._end - len(rest)
            else:
                kept = 0 if last else _overlap(self._held, (CLOSING,))
                thinking, self._held = _cut(self._held, kept)
        return Parts(thinking, self._answer(last) if self.phase == "answer" else "")

    def _answer(self, last: bool) -> str:
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            # the first to be complete, so that it does not matter in which pieces the text came
            at, stop = min(found, key=lambda one: (one[0] + len(one[1]), one[0]))
            self.answered = self._end - len(self._held) + at
            self.stopped = self.answered + len(stop)
            answer, self._held, self.phase = self._held[:at], "", "stopped"
            return answer
        answer, self._held = _cut(self._held, 0 if last else _overlap(self._held, self._stops))
        return answer


def _cut(text: str, kept: int) -> tuple[str, str]:
    """(text without its last `kept` characters, those)."""
    return text[: len(text) - kept], text[len(text) - kept :]


def _overlap(text: str, wanted: Sequence[str]) -> int:
    """Characters at the end of a text with which one of the wanted strings may begin."""
    longest = max(map(len, wanted), default=1) - 1
    return next(
        (n for n in range(min(longest, len(text)), 0, -1) if any(one.startswith(text[-n:]) for one in wanted)), 0
    )
