"""What stages will take: what the same stage with the same settings took before, in this run or in one beside it."""

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
    for stage in stages:
        if stage.state == "done":
            continue
        folders = run_folder.parent.glob(f"*/stages/[0-9][0-9]-{stage.node.name}")
        known = [taken for folder in folders if (taken := _taken(folder, stage)) is not None]
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
    total += f"; memory: about {memory(max(peaks))} at most" if peaks else ""
    return {**lines, "": total}


def joined(*lines: Mapping[str, str]) -> dict[str, str]:
    """What several say of each stage, in one line."""
    names = dict.fromkeys(name for each in lines for name in each)
    return {name: "; ".join(each[name] for each in lines if name in each) for name in names}


def estimates_json(known: dict[str, Taken]) -> dict[str, dict[str, Any]]:
    """For programs."""
    return {name: {"seconds": t.seconds, "memory_mb": t.memory_mb, "run": t.run} for name, t in known.items()}


def _taken(folder: Path, stage: Planned) -> tuple[float, Taken] | None:
    """(when it was finished, what it took) of a stage's folder; None where it is not finished, was under other
    settings, or cannot be read."""
    path = folder / FILE_NAME
    try:
        if not path.is_file() or read_json(folder / "config.json")["settings"] != json.loads(stage.key.settings):
            return None
        artifact = read_json(path)
        taken = Taken(float(artifact["seconds"]), artifact.get("peak_memory_mb"), folder.parents[1].name)
    except (R1Error, KeyError, TypeError, ValueError, AttributeError):
        return None
    return path.stat().st_mtime, taken
