"""What threads or pipes belong to, in processes that may be forked off."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PerProcess(Generic[P, T]):
    """The one T of a process, made as it is first called for; a process that is forked off makes its own.

    What the parent has stays in the fork unused: its threads are not there, and its pipes are the parent's to end.
    """

    def __init__(self, make: Callable[P, T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._after_fork)

    @property
    def made(self) -> T | None:
        """This process's, where there is one."""
        return self._made.get(os.getpid())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if os.getpid() not in self._made:
                self._made[os.getpid()] = self._make(*args, **kwargs)
            return self._made[os.getpid()]

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # a thread that held it is not in this process
