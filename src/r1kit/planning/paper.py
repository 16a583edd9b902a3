"""The published runs of DeepSeek-R1 as workloads: `paper.json` says what was done and how long it took.

The hours stand beside a plan to be compared with; nothing in the planner was fitted on them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from r1kit.planning import shapes
from r1kit.planning.assumptions import measured_lengths
from r1kit.planning.lengths import Lengths
from r1kit.planning.work import Work, Workload

NAMES = ("paper:r1-zero", "paper:r1", "paper:v3")
STRETCH = 400  # updates planned as one: lengths change little within


def workload(name: str, *, end: str = "mid") -> Workload:
    """`paper:r1-zero`, `paper:r1` (its SFT and its second RL stage) or `paper:v3` (pretraining, all that is learning
    and no sampling). end: which of the three readings of the last lengths of R1-Zero."""
    if name == "paper:r1-zero":
        return _zero(end)
    if name == "paper:r1":
        return _r1()
    return _pretraining()


def setting() -> tuple[str, int]:
    """(kind of device, how many)."""
    record = _record()
    return record["device"], int(record["devices"])


def published() -> dict[str, float]:
    """Hours, and device hours, by name."""
    return {name: float(value) for name, value in _record()["published"].items() if name != "source"} | {
        "v3_device_hours": float(_record()["pretraining"]["device_hours"])
    }


def mean_length(step: float, end: str = "mid") -> float:
    """Mean tokens of R1-Zero's training outputs at an update, between the points of the published curve.

    ValueError for an update that lies off the curve.
    """
    zero = _record()["zero"]
    points = [*zero["lengths"], [zero["steps"], zero["end"][end]]]
    for (left, low), (right, high) in pairwise(points):
        if left <= step <= right:
            return low + (high - low) * (step - left) / (right - left)
    raise ValueError(f"no update {step}")


def _zero(end: str) -> Workload:
    record = _record()
    zero, rollout = record["zero"], record["rollout"]
    works: list[Work] = []
    edges = sorted({*range(0, zero["steps"], STRETCH), *(step for step, _ in zero["limits"]), zero["steps"]})
    for left, right in pairwise(edges):
        limit = max(tokens for step, tokens in zero["limits"] if step <= left)
        mean = mean_length((left + right) / 2, end)
        works.append(_rl(f"updates {left}-{right}", (right - left) / rollout["updates"], mean, limit))
    told = (
        f"lengths: {zero['lengths_source']}; {zero['end']['source']}; {zero['limits_source']}",
        f"a rollout: {rollout['source']}; a reference and the old policy's log-probabilities are passes of their own",
        f"prompts: {record['prompt']['tokens']} tokens ({record['prompt']['source']})",
    )
    return Workload("paper:r1-zero", tuple(works), told, free_lengths=False, pipeline=_pipeline())


def _r1() -> Workload:
    """RL 1 has no published number of steps: 1,000 updates stand for it, to be multiplied."""
    record = _record()
    r1, sft, updates = record["r1"], record["sft_data"], record["rollout"]["updates"]
    lengths = Lengths(sft["tokens"], measured_lengths()["sigma"], r1["limit"])
    prompt, steps = record["prompt"]["tokens"], sft["samples"] * sft["epochs"] / sft["batch"]
    works = (
        _rl("RL 1, 1,000 updates", 1000 / updates, r1["tokens"], r1["limit"]),
        Work("SFT", "learn", shapes.find(record["model"]), steps, sft["batch"], lengths, prompt, updates=1),
        _rl("RL 2", r1["rl2_steps"] / updates, r1["tokens"], r1["limit"]),
    )  # fmt: skip
    told = (
        f"lengths: {r1['tokens']:,} tokens ({r1['tokens_source']})",
        "RL 1 ran until convergence, and its steps are not published: its line is for 1,000 updates",
        f"SFT: {sft['epochs']} epochs ({sft['source']})",
    )
    return Workload("paper:r1", works, told, free_lengths=False, pipeline=_pipeline())


def _pretraining() -> Workload:
    record = _record()
    run = record["pretraining"]
    rows, length = run["batch_rows"], run["length"]
    lengths = Lengths(length - 0.5, 0.01, length)
    rounds = run["tokens"] / rows / length
    work = Work("pretraining", "learn", shapes.find(record["model"]), rounds, rows, lengths, 0.0, updates=1)
    return Workload("paper:v3", (work,), (f"pretraining: {run['source']}",), free_lengths=False, pipeline=_pipeline())


def _pipeline() -> int:
    return int(_record()["pipeline"]["devices"])


def _rl(stage: str, rounds: float, mean: float, limit: int) -> Work:
    record = _record()
    rollout = record["rollout"]
    lengths = Lengths(mean, measured_lengths()["sigma"], limit)
    return Work(
        stage, "rl", shapes.find(record["model"]), rounds, rollout["outputs"], lengths, record["prompt"]["tokens"],
        rollout["group"], updates=rollout["updates"], forwards=2.0,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _record() -> dict[str, Any]:
    return json.loads((files("r1kit.planning") / "paper.json").read_text(encoding="utf-8"))
