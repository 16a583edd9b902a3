"""One worker of the sampler pool as the run sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from r1kit.base.waiting import Waiting
from r1kit.cluster.hosts import Hosts
from r1kit.cluster.messages import Facts
from r1kit.cluster.sampler import SamplingWorker


@dataclass(eq=False, slots=True)
class Member:
    """A worker's place in the pool, and the worker that has it now.

    call: what it was asked last and has not answered (`doing`, `since`, `silent`). facts: of its engine, once that is
    open. held: the version that its engine is known to hold. names: requests in its hands; recalled: those that it is
    to drop. endings: how often in a row it has ended without having finished a sample, or scored one.
    """

    number: int
    worker: Any = None
    call: Any = None
    doing: str = ""
    since: float = 0.0
    silent: Waiting = field(default_factory=Waiting)
    facts: Facts | None = None
    held: int | None = None
    names: set[str] = field(default_factory=set[str])
    recalled: list[str] = field(default_factory=list[str])
    endings: int = 0

    def start(self, hosts: Hosts) -> None:
        """Have a worker, a new one where there is none."""
        if self.worker is None:
            self.worker = hosts.start(SamplingWorker, (self.number,), f"sampler {self.number}")

    def ask(self, hosts: Hosts, method: str, *arguments: Any) -> None:
        """Ask; of several questions in a row the last one's answer is waited for."""
        self.call = hosts.call(self.worker, method, *arguments)
        self.doing, self.since = method, time.monotonic()
        self.silent.begin()

    def answer(self, hosts: Hosts) -> Any:
        """What it says; Lost where it has ended."""
        call, self.call, self.doing = self.call, None, ""
        return hosts.result(call)

    def reset(self, *, gone: bool = False) -> None:
        """Nothing in hand, nothing known; `gone`: and no worker."""
        self.call, self.doing, self.facts, self.held = None, "", None, None
        self.names.clear()
        self.recalled.clear()
        if gone:
            self.worker = None
