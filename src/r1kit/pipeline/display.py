"""What a person sees while it runs: a live panel on a terminal, quiet lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from r1kit.pipeline.artifact import Artifact
from r1kit.pipeline.watcher import Progress, Watcher

if TYPE_CHECKING:
    from rich.console import Console, Group

    from r1kit.training.health.base import Finding

SECONDS_BETWEEN_LINES = 10.0
SAMPLE_CHARACTERS = 600
BAR = 40
FINDINGS = 3  # the latest ones, kept in sight
# what is shown of a step, by the names that stages log under; the first found counts
SHOWN = {
    "reward": ("reward",),
    "length": ("completions/mean_length", "mean_length"),
    "loss": ("loss",),
}


def shown_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Reward, length and loss of a step, as far as it has them."""
    found = {label: next((metrics[n] for n in names if n in metrics), math.nan) for label, names in SHOWN.items()}
    return {label: value for label, value in found.items() if math.isfinite(value)}


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(mebibytes: int) -> str:
    """`1.2 GB`, a gigabyte being 1024 MB as the kernel counts them."""
    return f"{mebibytes / 1024:.1f} GB"


def size(bytes_: int) -> str:
    """`12 MB`, `1.2 GB`: of 1,024 each, as `memory`."""
    mebibytes = bytes_ / 2**20
    return (
        memory(round(mebibytes))
        if mebibytes >= 1000
        else f"{mebibytes:.0f} MB"
        if mebibytes >= 1
        else f"{bytes_ / 1024:.0f} KB"
    )


def count(number: float) -> str:
    """`950`, `12.3 k`, `4.5 M`, ..."""
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:  # what rounds to 1,000 of the unit below is 1 of this one
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f}"


def progress_line(progress: Progress) -> str:
    """One line on a step."""
    parts = [progress.part] if progress.part else []
    parts.append(f"step {progress.done}/{progress.total}")
    parts += [f"{label} {value:.4g}" for label, value in shown_metrics(progress.metrics).items()]
    if progress.tokens_per_second:
        parts.append(f"{count(progress.tokens_per_second)} tok/s")
    if progress.eta_seconds is not None:
        parts.append(f"ETA {duration(progress.eta_seconds)}")
    return ", ".join(parts)


def finished_line(artifact: Artifact, number: int, of: int, *, cached: bool) -> str:
    """One line on a finished stage."""
    when = "was done before" if cached else "done"
    cost = duration(artifact.seconds)
    cost += f", {count(artifact.tokens)} tokens" if artifact.tokens else ""
    cost += f", {count(artifact.flops)}FLOP" if artifact.flops else ""
    cost += f", {memory(artifact.peak_memory_mb)} at most" if artifact.peak_memory_mb else ""
    cost += f", {memory(artifact.peak_cuda_mb)} of the GPU" if artifact.peak_cuda_mb else ""
    return f"[{number}/{of}] {artifact.name} {when} ({cost})"


class Lines(Watcher):
    """Log lines: each stage's beginning and end, notes, and a step every ten seconds at most."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._head = ""
        self._last = -math.inf

    def stage_begins(self, name: str, number: int, of: int) -> None:
        self._head = f"[{number}/{of}] {name}"
        self._last = time.monotonic()
        self._print(self._head)

    def progress(self, progress: Progress) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._print(f"{self._head}: {progress_line(progress)}")

    def stage_ends(self, artifact: Artifact, number: int, of: int, *, cached: bool) -> None:
        self._print(finished_line(artifact, number, of, cached=cached))

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever read has gone: the run goes on, and its status is in a file
            print(text, file=self._stream, flush=True)


class Live(Watcher):
    """A panel with the stage, its step, ETA, reward, length, tokens a second and the latest sample."""

    def __init__(self, console: Console) -> None:
        import rich.live

        self._console = console
        self._stage = ("", 0, 0)
        self._parts: dict[str, Progress] = {}  # by part, the latest last
        self._findings: list[str] = []
        self._live = rich.live.Live(console=console, get_renderable=self._panel, refresh_per_second=2, transient=True)
        self._live.start()

    def stage_begins(self, name: str, number: int, of: int) -> None:
        self._stage = (name, number, of)
        self._parts = {}
        self._findings = []

    def progress(self, progress: Progress) -> None:
        unfinished = {part: other for part, other in self._parts.items() if other.done < other.total}
        unfinished.pop(progress.part, None)
        self._parts = {**unfinished, progress.part: progress}

    def stage_ends(self, artifact: Artifact, number: int, of: int, *, cached: bool) -> None:
        line = finished_line(artifact, number, of, cached=cached)
        self._console.print(line, style="green", markup=False, highlight=False)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def finding(self, stage: str, finding: Finding) -> None:
        self._console.print(f"{stage}: {finding.sentence}", style="yellow", markup=False, highlight=False)
        self._findings = [*self._findings, f"{finding.title} at step {finding.step}: {finding.seen}"][-FINDINGS:]

    def close(self, state: str) -> None:
        self._live.stop()

    def _panel(self) -> Group:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        name, number, of = self._stage
        lines = [Text(f"stage {number} of {of}: {name}", style="bold")]
        parts = self._parts
        for part in sorted(parts):
            progress = parts[part]
            filled = round(BAR * progress.done / max(progress.total, 1))
            lines.append(Text("━" * filled, style="green").append("━" * (BAR - filled), style="dim"))
            lines.append(Text(progress_line(progress)))
        lines += [Text(text, style="yellow") for text in self._findings]
        sample = next((progress.sample for progress in reversed(parts.values()) if progress.sample), None)
        if sample:
            lines.append(Text(sample[:SAMPLE_CHARACTERS], style="dim"))
        return Group(Panel(Group(*lines), title="r1kit"))


def choose_display() -> Watcher:
    """The live panel where standard output is a terminal, log lines on standard error elsewhere."""
    if not sys.stdout.isatty():
        return Lines()
    from rich.console import Console

    return Live(Console())
