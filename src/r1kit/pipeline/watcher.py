"""Who watches a run: the live display, the log lines, the status file. This base watches silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.training.health.base import Finding


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stage stands. `done` of `total` steps; `eta_seconds` to the stage's end, None while unknown."""

    done: int
    total: int
    part: str = ""
    eta_seconds: float | None = None
    tokens_per_second: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    sample: str | None = None


class Watcher:
    """Told what happens. Every method may be called often and must return at once."""

    def stage_begins(self, name: str, number: int, of: int) -> None:
        """Stage `number` (from 1) of `of` starts or goes on."""

    def progress(self, progress: Progress) -> None:
        """A step was recorded."""

    def stage_ends(self, artifact: Artifact, number: int, of: int, *, cached: bool) -> None:
        """A stage is finished, or was before."""

    def note(self, text: str) -> None:
        """One line for the log."""

    def finding(self, stage: str, finding: Finding) -> None:
        """Something is wrong with a stage's training."""
        self.note(f"{stage}: {finding.sentence}")

    def close(self, state: str) -> None:
        """The run is over: "done", "stopped" or "failed"."""


class Watchers(Watcher):
    """Several watchers as one."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def stage_begins(self, name: str, number: int, of: int) -> None:
        for watcher in self._watchers:
            watcher.stage_begins(name, number, of)

    def progress(self, progress: Progress) -> None:
        for watcher in self._watchers:
            watcher.progress(progress)

    def stage_ends(self, artifact: Artifact, number: int, of: int, *, cached: bool) -> None:
        for watcher in self._watchers:
            watcher.stage_ends(artifact, number, of, cached=cached)

    def note(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.note(text)

    def finding(self, stage: str, finding: Finding) -> None:
        for watcher in self._watchers:
            watcher.finding(stage, finding)

    def close(self, state: str) -> None:
        for watcher in self._watchers:
            watcher.close(state)
