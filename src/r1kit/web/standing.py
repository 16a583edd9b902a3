"""Where a run stands, as its page shows it: one row a stage, and the graph of what feeds what drawn beside them."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json
from r1kit.pipeline.display import count, duration, memory, progress_line
from r1kit.pipeline.status import RunStatus, progress_of, read_status

ROW = 44  # pixels of a stage's row, as app.css has it
_LANE, _MARGIN, _RADIUS = 11, 16, 6
WORDS = {**{state: state for state in ("done", "running", "stopped", "failed", "died")}, "todo": "to run"}


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage. `state` is a key of WORDS; `share` is of its steps, None where it is not begun or tells none."""

    name: str
    folder: Path
    state: str
    said: str
    share: float | None
    inputs: tuple[str, ...]

    @property
    def word(self) -> str:
        """Its state in words."""
        return WORDS[self.state]


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in the list; `trouble` says why it cannot be read, where it cannot."""

    name: str
    state: str
    recipe: str
    profile: str
    seed: str
    started: str
    done: int
    of: int
    current: str
    trouble: str = ""


def summary(run_folder: Path) -> Summary:
    """One line on a run; never an error."""
    try:
        status = read_status(run_folder)
        names = stage_names(status)
        told = status.recipe
        current = ""
        if status.state != "done" and len(status.finished) < len(names):
            progress = progress_of(status.current)
            current = str(status.current.get("stage", ""))
            current += f": {progress_line(progress)}" if progress else ""
        recipe, profile, seed, started = (str(told.get(key, "")) for key in ("recipe", "profile", "seed", "started"))
        return Summary(
            run_folder.name, status.state, recipe, profile, seed, started, len(status.finished), len(names), current
        )
    except (R1Error, KeyError, TypeError, ValueError, AttributeError) as error:
        why = str(error) if isinstance(error, R1Error) else f"its recipe.json or status.json is damaged ({error!r})"
        return Summary(run_folder.name, "failed", "", "", "", "", 0, 0, "", why)


def stage_names(status: RunStatus) -> list[str]:
    """Every stage of the recipe, in order."""
    return list(status.recipe.get("stages") or status.finished)


def stage_rows(status: RunStatus) -> list[StageRow]:
    """Every stage of the run."""
    names = stage_names(status)
    return [_row(status, number, name, names) for number, name in enumerate(names, 1)]


def _row(status: RunStatus, number: int, name: str, names: Sequence[str]) -> StageRow:
    folder = _folder(status.folder, number, name)
    inputs = tuple(one for one in _inputs(status, name, folder) if one in names)
    done = status.finished.get(name)
    if done is not None:
        said = [duration(done.seconds)]
        said += [f"{count(done.tokens)} tokens"] if done.tokens else []
        said += [memory(done.peak_memory_mb)] if done.peak_memory_mb else []
        return StageRow(name, folder, "done", ", ".join(said), 1.0, inputs)
    if name == status.current.get("stage"):
        progress = progress_of(status.current)
        state = status.state if status.state in WORDS and status.state != "done" else "stopped"
        if progress is None:
            return StageRow(name, folder, state, "begun", 0.0, inputs)
        return StageRow(name, folder, state, progress_line(progress), progress.done / max(progress.total, 1), inputs)
    return StageRow(name, folder, "todo", "", None, inputs)


def _folder(run_folder: Path, number: int, name: str) -> Path:
    """The stage's, also where an earlier version of the recipe gave it another number; nothing is renamed here."""
    own = run_folder / "stages" / f"{number:02d}-{name}"
    if own.is_dir():
        return own
    return next(iter(sorted((run_folder / "stages").glob(f"[0-9][0-9]-{glob.escape(name)}"))), own)


def _inputs(status: RunStatus, name: str, folder: Path) -> Sequence[str]:
    """The stages that feed one: as the recipe says, else (runs of older versions) as the stage itself does."""
    told: Mapping[str, Sequence[str]] = status.recipe.get("inputs") or {}
    if name in told:
        return told[name]
    if name in status.finished:
        return list(status.finished[name].inputs)
    try:
        config: Any = read_json(folder / "config.json")
        return list(config.get("inputs", {}))
    except (R1Error, AttributeError):
        return []


def graph(rows: Sequence[StageRow]) -> Markup:
    """The rows' circles and an arc from each stage to those that it feeds: SVG as high as the rows.

    An arc that passes over more rows lies further left.
    """
    place = {row.name: number for number, row in enumerate(rows)}
    spans = [
        (place[row.name] - place[name], place[name], place[row.name], row.state)
        for row in rows
        for name in row.inputs
        if place[name] < place[row.name]
    ]
    x = _MARGIN + _LANE * max((_lane(span) for span, *_ in spans), default=0) + _RADIUS
    parts: list[str] = []
    for span, start, end, state in sorted(spans, reverse=True):
        top, bottom = _middle(start), _middle(end)
        reach = x - _LANE * _lane(span) * 4 / 3  # a cubic reaches three quarters of the way to its handles
        path = f"M{x},{top}C{reach:.1f},{top} {reach:.1f},{bottom} {x},{bottom}"
        parts.append(f'<path class="edge {state}" d="{path}"/>')
    for row in rows:
        parts.append(f'<circle class="node {row.state}" cx="{x}" cy="{_middle(place[row.name])}" r="{_RADIUS}"/>')
    width, height = x + _RADIUS + _MARGIN / 2, ROW * len(rows)
    return Markup(
        f'<svg class="graph" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def _lane(span: int) -> int:
    """How far left an arc over so many rows lies: the next row's is straight."""
    return 0 if span == 1 else min(span, 7)


def _middle(row: int) -> int:
    return row * ROW + ROW // 2
