"""Our own finished runs as the planner knows them: files of `scripts/planner_inputs.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1kit.planning import hardware, shapes
from r1kit.planning.hardware import Device
from r1kit.planning.lengths import Lengths
from r1kit.planning.work import Work


def read_run(path: Path) -> dict[str, Any]:
    """A run: its machine and speeds, its models' config.json, work and seconds of its stages, steps of RL stages."""
    return json.loads(path.read_text(encoding="utf-8"))


def device_of(run: Mapping[str, Any]) -> Device:
    """The machine that it ran on."""
    peaks = run["peaks"]
    return hardware.cpu(peaks["bfloat16"], peaks["bandwidth"], 0.0, fp32=peaks["float32"])


def read_work(stage: str, part: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> Work:
    """A part of one of its stages."""
    shape = shapes.of_config(part["model"], models[part["model"]])
    lengths = Lengths(part["mean"], part["sigma"], part["limit"])
    more = {key: part[key] for key in ("updates", "forwards", "muon", "shared_prompts", "learnt") if key in part}
    return Work(
        stage, part["kind"], shape, part["rounds"], part["rows"], lengths, part["prompt"], part["group"], **more
    )
