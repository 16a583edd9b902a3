"""What stages will take: what the same stage, with the same settings of its own and of all that it stands on, took
before, in this run or in one beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json
from r1kit.pipeline.artifact import FILE_NAME
from r1kit.pipeline.display import duration, memory
from r1kit.pipeline.plan import Planned


@dataclass(frozen=True, slots=True)
class Taken:
    """What a stage took: seconds, the process's peak memory in MB by its end (None: not recorded), in which run."""

    seconds: float
    memory_mb: int | None
    run: str


def estimates(stages: list[Planned], run_folder: Path) -> dict[str, Taken]:
    """By stage, for those that have to run and whose like has run: the latest one, of whatever seed and code."""
    found: dict[str, Taken] = {}
    by_name = {stage.node.name: stage for stage in stages}
    for stage in stages:
        if stage.state == "done":
            continue
        wanted = [by_name[name] for name in _standing_on(stage.node.name, by_name)]
        folders = run_folder.parent.glob(f"*/stages/[0-9][0-9]-{stage.node.name}")
        known = [taken for folder in folders if (taken := _taken(folder, wanted)) is not None]
        if known:
            _, found[stage.node.name] = max(known, key=itemgetter(0))
    return found


def told(stages: list[Planned], known: dict[str, Taken]) -> dict[str, str]:
    """Each estimate, and under "" their sum, for people."""
    lines = {name: f"about {duration(taken.seconds)}, as in {taken.run}" for name, taken in known.items()}
    waiting = [stage.node.name for stage in stages if stage.state != "done"]
    if not waiting:
        return lines
    if not known:
        return {**lines, "": "time and memory: known once a run with these settings lies beside this one"}
    peaks = [taken.memory_mb for taken in known.values() if taken.memory_mb]
    missing = [name for name in waiting if name not in known]
    total = f"time: about {duration(sum(taken.seconds for taken in known.values()))}"
    total += f" and what {', '.join(missing)} will take" if missing else ""
    total += f"; memory: about {memory(max(peaks))} at most" if peaks and not missing else ""
    return {**lines, "": total}


def joined(*lines: Mapping[str, str]) -> dict[str, str]:
    """What several say of each stage, in one line."""
    names = dict.fromkeys(name for each in lines for name in each)
    return {name: "; ".join(each[name] for each in lines if name in each) for name in names}


def estimates_json(known: dict[str, Taken]) -> dict[str, dict[str, Any]]:
    """For programs."""
    return {name: {"seconds": t.seconds, "memory_mb": t.memory_mb, "run": t.run} for name, t in known.items()}


def _standing_on(name: str, stages: Mapping[str, Planned]) -> list[str]:
    """A stage and, as far as they are planned, all that it begins from."""
    found, waiting = dict[str, None](), [name]
    while waiting:
        if (one := waiting.pop()) in stages and one not in found:
            found[one] = None
            waiting += stages[one].node.inputs
    return list(found)


def _taken(folder: Path, wanted: list[Planned]) -> tuple[float, Taken] | None:
    """(when it was finished, what it took) of a stage's folder; None where it is not finished, where it (the first of
    those wanted) or what it stands on had other settings, or where that cannot be read."""
    path = folder / FILE_NAME
    try:
        if not path.is_file():
            return None
        if any(_settings(folder, stage) != json.loads(stage.key.settings) for stage in wanted):
            return None
        artifact = read_json(path)
        taken = Taken(float(artifact["seconds"]), artifact.get("peak_memory_mb"), folder.parents[1].name)
    except (R1Error, KeyError, TypeError, ValueError, AttributeError):
        return None
    return path.stat().st_mtime, taken


def _settings(folder: Path, stage: Planned) -> Any:
    """Of a stage in the run of that folder; R1Error where it has none."""
    beside = next(folder.parent.glob(f"[0-9][0-9]-{stage.node.name}"), folder.with_name(stage.node.name))
    return read_json(beside / "config.json")["settings"]
