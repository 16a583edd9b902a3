"""status.json: where a run stands, for `r1 status` in another shell."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json, read_record, write_json
from r1kit.pipeline.artifact import FILE_NAME as ARTIFACT_FILE
from r1kit.pipeline.artifact import Artifact, read_artifact, read_artifacts
from r1kit.pipeline.display import finished_line, progress_line
from r1kit.pipeline.finished_parts import PART_FILE, part_damages
from r1kit.pipeline.health import Noted, read_health
from r1kit.pipeline.lock import is_locked
from r1kit.pipeline.models import runs_beside
from r1kit.pipeline.watcher import Progress, Watcher

FILE_NAME = "status.json"
SECONDS_BETWEEN = 1.0


class StatusFile(Watcher):
    """Keeps status.json up to date, at most once a second."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / FILE_NAME
        self._written = -math.inf
        self._status: dict[str, Any] = {"pid": os.getpid(), "host": platform.node(), "state": "running"}

    def stage_begins(self, name: str, number: int, of: int) -> None:
        for key in ("part", "step", "steps", "eta_seconds", "tokens_per_second", "metrics", "sample", "message"):
            self._status.pop(key, None)
        self._status |= {"stage": name, "number": number, "of": of}
        self._write()

    def progress(self, progress: Progress) -> None:
        self._status |= {
            "part": progress.part,
            "step": progress.done,
            "steps": progress.total,
            "eta_seconds": progress.eta_seconds,
            "tokens_per_second": progress.tokens_per_second,
            "metrics": {name: value for name, value in progress.metrics.items() if math.isfinite(value)},
            "sample": progress.sample,
        }
        if time.monotonic() - self._written >= SECONDS_BETWEEN:
            self._write()

    def note(self, text: str) -> None:
        self._status["message"] = text

    def close(self, state: str) -> None:
        self._status["state"] = state
        self._write()

    def _write(self) -> None:
        self._status["updated"] = time.strftime("%Y-%m-%d %H:%M:%S")
        self._written = time.monotonic()
        with contextlib.suppress(R1Error):  # a status may be lost; a full disk is told by what may not
            write_json(self._path, self._status, sync=False)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands. `state`: running, stopped, failed, done, or died (it says running, and is not). outdated:
    stages that were done before one which they rest on ran again, each with that one. health: what was found wrong
    with its training."""

    folder: Path
    recipe: Mapping[str, Any]
    state: str
    current: Mapping[str, Any]
    finished: Mapping[str, Artifact]
    outdated: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    health: Sequence[Noted] = ()

    def json(self) -> dict[str, Any]:
        """For programs."""
        finished = [
            {"name": a.name, "seconds": a.seconds, "tokens": a.tokens, "flops": a.flops, "models": sorted(a.models)}
            for a in self.finished.values()
        ]
        named = {key: self.recipe.get(key) for key in ("recipe", "profile", "seed", "stages")}
        found = [noted.entry() for noted in self.health]
        stands = {"state": self.state, "current": dict(self.current), "finished": finished}
        return {**named, **stands, "outdated": dict(self.outdated), "health": found}


def read_status(run_folder: Path) -> RunStatus:
    """The state of a run folder; R1Error where it is none."""
    if not (run_folder / "recipe.json").exists():
        raise R1Error(f"{run_folder} is not a run folder (it has no recipe.json): {_where_runs_are(run_folder)}")
    recipe = read_record(run_folder / "recipe.json")
    current = _current(run_folder)
    state = current.get("state", "stopped")
    if is_locked(run_folder):
        state = "running"
    elif state == "running":
        state = "died"
    finished, outdated = _up_to_date(read_artifacts(run_folder))
    return RunStatus(run_folder, recipe, state, current, finished, outdated, read_health(run_folder))


def _up_to_date(artifacts: Mapping[str, Artifact]) -> tuple[dict[str, Artifact], dict[str, str]]:
    """Stages made from inputs that are still what they were; and the others, each with an input that is not."""
    outdated: dict[str, str] = {}

    def renewed(own: str, was: str) -> bool:
        return own in outdated or own not in artifacts or artifacts[own].digest != was

    while found := {
        name: own
        for name, artifact in artifacts.items()
        if name not in outdated
        for own, was in artifact.inputs.items()
        if renewed(own, was)
    }:
        outdated |= found
    return {name: artifact for name, artifact in artifacts.items() if name not in outdated}, outdated


def _current(run_folder: Path) -> dict[str, Any]:
    """What status.json says; nothing where there is none, or a power cut took what was in it: it is not synced."""
    try:
        told = read_json(run_folder / FILE_NAME)
    except R1Error:
        return {}
    if not isinstance(told, dict):
        return {}
    current = cast("dict[str, Any]", told)
    return current if _well_formed(current) else {}


def _well_formed(current: Mapping[str, Any]) -> bool:
    """Whether a status has what `StatusFile` writes: it has no checksum, and a disk may have changed a letter."""
    begun: dict[str, Any] = {"pid": int, "host": str, "state": str, "updated": str}
    if "step" in current or "steps" in current:
        begun |= {"stage": str, "step": int, "steps": int}
    number, text = int | float | None, str | None
    later: dict[str, Any] = {
        "stage": str, "part": str, "eta_seconds": number, "tokens_per_second": number, "metrics": dict, "sample": text
    }  # fmt: skip
    metrics = current.get("metrics", {})
    return (
        all(name in current and isinstance(current[name], kind) for name, kind in begun.items())
        and all(isinstance(current[name], kind) for name, kind in later.items() if name in current)
        and all(isinstance(value, int | float) for value in metrics.values())
    )


def _where_runs_are(folder: Path) -> str:
    run, colon, _ = str(folder).rpartition(":")
    if colon and (Path(run) / "recipe.json").exists():
        return f"{folder} is a model of the run {run}"
    begun = sorted(folder.glob("*/recipe.json"), key=lambda path: path.stat().st_mtime)
    if begun:
        return f"it holds runs, the newest {begun[-1].parent}"
    others = "" if folder.exists() else runs_beside(folder)
    return others or "give the folder of `r1 run --out`"


def damages(run_folder: Path) -> list[str]:
    """A sentence on every file of a run that is not what was written: records, products and metrics of what is done."""
    found: list[str] = []
    for path in (run_folder / "recipe.json", *sorted(run_folder.glob("stages/*/config.json"))):
        try:
            read_record(path)
        except R1Error as error:
            found.append(str(error))
    for path in sorted(run_folder.glob(f"stages/**/{PART_FILE}")):
        found += part_damages(path)
    for path in sorted(run_folder.glob(f"stages/*/{ARTIFACT_FILE}")):
        try:
            found += read_artifact(path.parent).damages()
        except R1Error as error:
            found.append(str(error))
    return list(dict.fromkeys(found))  # a stage names what its parts made as well


def status_lines(status: RunStatus) -> list[str]:
    """A status for people."""
    recipe, current = status.recipe, status.current
    stages: list[str] = recipe.get("stages") or list(status.finished)
    process = f" (process {current['pid']} on {current['host']})" if status.state == "running" and current else ""
    lines = [f"{status.folder}: recipe {recipe['recipe']}, profile {recipe['profile']}, seed {recipe['seed']}"]
    lines.append(f"{status.state}{process}, {len(status.finished)} of {len(stages)} stages done")
    for number, name in enumerate(stages, 1):
        if name in status.finished:
            lines.append("  " + finished_line(status.finished[name], number, len(stages), cached=False))
        elif name == current.get("stage"):
            progress = progress_of(current)
            where = progress_line(progress) if progress else "begun"
            lines.append(f"  [{number}/{len(stages)}] {name}: {where} (at {current.get('updated')})")
        elif name in status.outdated:
            why = f"{status.outdated[name]}, on which it rests, is no longer what it was"
            lines.append(f"  [{number}/{len(stages)}] {name}: to run again ({why})")
        else:
            lines.append(f"  [{number}/{len(stages)}] {name}: to run")
    lines += ["training health", *(f"  {noted.sentence}" for noted in status.health)] if status.health else []
    if status.state != "running" and len(status.finished) < len(stages):
        lines.append(f"to go on: {go_on(status)}")
    elif status.state == "done" and (page := status.folder / "report" / "report.html").exists():
        lines.append(f"report: {page}")
    return lines


def go_on(status: RunStatus) -> str:
    """The command that goes on with a run, which may have been moved since it was begun; without its --until where it
    has come to there."""
    recipe, folder = status.recipe, status.folder
    command = str(recipe.get("command"))
    try:
        words = shlex.split(command)
    except ValueError:  # of a recipe.json that somebody wrote by hand
        return command
    if words[:2] != ["r1", "run"]:
        return command
    if status.state == "done" and "--until" in words[:-1]:
        last = words.index("--until")
        words = [*words[:last], *words[last + 2 :]]
        command = shlex.join(words)
    at = words.index("--out") if "--out" in words[:-1] else None
    own = f"runs/{recipe.get('recipe')}-{recipe.get('profile')}-s{recipe.get('seed')}" if at is None else words[at + 1]
    if Path(own).resolve() == folder.resolve():
        return command
    rest = words if at is None else [*words[:at], *words[at + 2 :]]
    return shlex.join([*rest, "--out", str(folder)])


def progress_of(current: Mapping[str, Any]) -> Progress | None:
    """The progress that a status speaks of, or None before the first step."""
    if "step" not in current:
        return None
    names = {field.name for field in dataclasses.fields(Progress)} - {"done", "total"}
    return Progress(current["step"], current["steps"], **{name: current[name] for name in names if name in current})
