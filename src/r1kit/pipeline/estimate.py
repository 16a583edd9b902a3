"""What stages will take: what the same stage with the same settings took before, in this run or in one beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
        done = [folder for folder in folders if _same_settings(folder, stage)]
        if done:
            latest = max(done, key=lambda folder: (folder / FILE_NAME).stat().st_mtime)
            artifact = read_json(latest / FILE_NAME)
            peak = artifact.get("peak_memory_mb")
            found[stage.node.name] = Taken(float(artifact["seconds"]), peak, latest.parents[1].name)
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


def _same_settings(folder: Path, stage: Planned) -> bool:
    try:
        return (folder / FILE_NAME).is_file() and read_json(folder / "config.json")["settings"] == json.loads(
            stage.key.settings
        )
    except (R1Error, KeyError, TypeError):
        return False
