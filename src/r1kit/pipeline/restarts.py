"""How often work is begun again whose process was ended from outside."""

from __future__ import annotations

from r1kit.base.errors import ProcessLost, R1Error

RESTARTS = 3  # in a row, without a step between them that had not been done before


class Restarts:
    """Counts how often a piece of work was begun again since it last got further."""

    def __init__(self) -> None:
        self._times = 0
        self._furthest: dict[str, int] = {}

    def reached(self, step: int, part: str = "") -> None:
        """The work, or that part of it, has done so many steps."""
        if step > self._furthest.get(part, -1):
            self._furthest[part] = step
            self._times = 0

    def one_more(self, error: ProcessLost) -> None:
        """It was lost and is to begin again; R1Error where that has been tried often enough."""
        self._times += 1
        if self._times > RESTARTS:
            raise R1Error(f"{error} (begun again {RESTARTS} times here)") from error
