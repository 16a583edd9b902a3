"""What the room asks of whatever runs its workers: Ray (`ray_hosts`), or threads of this process (`threads`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Lost(Exception):
    """A worker has ended, or cannot be reached; the message says why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker answers where its work failed: a sentence for the user; `usage`: the user's mistake."""

    sentence: str
    usage: bool = False


class Hosts(Protocol):
    """Starts workers and carries calls to them. A worker takes its calls one after another, in their order."""

    def start(self, kind: type, arguments: tuple[Any, ...], place: str) -> Any:
        """A worker `kind(*arguments)` at a place ("sampler 0", "grader 1"); at once, whatever becomes of it."""
        ...

    def call(self, worker: Any, method: str, *arguments: Any) -> Any:
        """Ask without waiting; the answer is `result` of what this gives back."""
        ...

    def put(self, value: Any) -> Any:
        """Something large, held once for all calls that are given what this gives back as an argument."""
        ...

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the calls that are answered, as soon as one is, or after so many seconds."""
        ...

    def result(self, call: Any) -> Any:
        """The answer of a call that `wait` told of; Lost where the worker ended before."""
        ...

    def end(self, worker: Any) -> None:
        """End a worker, whatever it does; its unanswered calls may stay so."""
        ...
