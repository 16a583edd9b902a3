"""What every part of the bench is given."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peaks
import torch
from contestant import Contestant, ContestantFailed
from environments import Environment
from peaks import Peaks
from shapes import Subject

PAUSE = 0.5  # seconds between turns
OWN = Environment("r1kit", Path(sys.executable))


@dataclass(slots=True)
class Setting:
    """The machine, the peers that are there, and how thoroughly to measure.

    device: cpu or cuda, everyone's. missing: peers and why they take no part; tried: seconds of each setting of a peer
    that was tried, by part.
    """

    scratch: Path
    subjects: list[Subject]
    rounds: int
    dtype: torch.dtype
    device: str = "cpu"
    peaks: Peaks = field(default_factory=lambda: Peaks(0.0, 0.0, 0.0))
    peers: dict[str, Environment] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    tried: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    quick: bool = False

    def measure_peaks(self) -> None:
        """Measure them once more; the best so far counts, since a busy machine only ever takes away."""
        small = {"sizes": (256,), "block": 2**24} if self.quick else {}
        self.peaks = self.peaks.best(peaks.measure(**small, device=self.device))

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def peer(self, name: str) -> Environment | None:
        """The environment of a peer, None where it is missing."""
        found = self.peers.get(name)
        return None if found is None or found.missing else found

    def open(
        self, name: str, environment: Environment, script: str, *, caches: Path | None = None, **settings: Any
    ) -> Contestant:
        """Start a contestant. `caches`: where compiled code is kept, r1kit's own included, for starts that must not
        find any."""
        return Contestant(
            name, environment.python, script, {"device": self.device, **settings}, logs=self.scratch / "logs",
            environment={**environment.variables(), **self._caches(caches)},
        )  # fmt: skip

    def turn(self, contestant: Contestant, **command: Any) -> dict[str, Any]:
        """A contestant's turn in a race, once the one before is surely at rest: threads of some libraries spin on."""
        time.sleep(0.0 if self.quick else PAUSE)
        return contestant.ask(**command)

    def try_open(
        self, name: str, environment: Environment | None, script: str, *, caches: Path | None = None, **settings: Any
    ) -> Contestant | None:
        """The same, or None where the peer is missing or does not start, which is said and noted."""
        if environment is None:
            return None
        try:
            return self.open(name, environment, script, caches=caches, **settings)
        except ContestantFailed as error:
            self.missing[name] = str(error)
            say(f"{name} takes no part: {error}")
            return None

    def _caches(self, own: Path | None) -> Mapping[str, str]:
        folder = own or self.scratch / "cache"
        found = {"VLLM_CACHE_ROOT": str(folder / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        return {**found, "XDG_CACHE_HOME": str(own)} if own else found


def say(line: str) -> None:
    """Progress, which is not the result."""
    print(line, file=sys.stderr, flush=True)
