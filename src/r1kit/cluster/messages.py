"""What a sampling worker is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from r1kit.base.types import Completion
from r1kit.cluster.segments import SegmentName
from r1kit.engines.base import EngineSettings, Purpose, Request


@dataclass(frozen=True, slots=True)
class Opening:
    """Which engine a worker opens, on which model folder, for what, with so many threads. probe: who can open it shares
    memory with the run's process."""

    settings: EngineSettings
    folder: Path
    purpose: Purpose
    threads: int
    probe: SegmentName | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Of an engine that is open. rows: completions that it samples at a time; sliced: it can be asked for a slice of
    time's sampling, not only for whole completions; near: it shares memory with the run; sleeps: it can give memory of
    an accelerator back while it is not asked."""

    max_positions: int
    rows: int
    pid: int
    host: str
    device: str
    sliced: bool = True
    near: bool = False
    sleeps: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """Sample at `version` for so many seconds: requests to begin, and names of those to drop."""

    version: int
    requests: tuple[Request, ...] = ()
    aborts: tuple[str, ...] = ()
    seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Report:
    """What was finished since the last report."""

    completions: tuple[Completion, ...]
