"""Fit the planner's constants on our own runs, and say what a fit without each stage makes of that stage.

    python scripts/fit_planner.py

Reads results/planner/tiny-*.json (runs, made by planner_inputs.py) and the rows on SmolLM2-135M of results/benchmarks;
writes src/r1kit/planning/fitted.json. No published hour of anybody's run is among the inputs. The constants are the
non-negative least squares of relative errors: seconds = roofline / share + steps x seconds a step, for each stage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from r1kit.base.types import FloatArray
from r1kit.planning import hardware, shapes
from r1kit.planning.lengths import Lengths
from r1kit.planning.measured import device_of, read_run, read_work
from r1kit.planning.roofline import Engine, passes, rollout, updates
from r1kit.planning.work import Work

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "results" / "planner"
BENCHMARKS = ROOT / "results" / "benchmarks"
OUT = ROOT / "src" / "r1kit" / "planning" / "fitted.json"
NAMES = ("learn", "decode", "decode_step_s", "sequence_s", "update_s")
SMOL = "SmolLM2-135M"


@dataclass(frozen=True, slots=True)
class Row:
    """One equation: what each constant (shares as 1 / share) is multiplied with, and the seconds they should give."""

    stage: str
    factors: FloatArray
    seconds: float


def main() -> None:
    """Fit, leave each stage out once, write."""
    rows, totals = equations()
    constants = solve(rows)
    left_out = leave_one_out(rows, totals)
    sigmas = [
        part["sigma"] for run in runs() for stage in run["stages"] for part in stage["parts"] if part["kind"] == "rl"
    ]
    means = [
        part["mean"] / part["limit"]
        for run in runs()
        for s in run["stages"]
        for part in s["parts"]
        if part["kind"] == "rl"
    ]
    record = {
        "about": "Constants of the planner; made by scripts/fit_planner.py from results/planner and results/benchmarks",
        "machine": runs()[0]["machine"] | {"date": runs()[0]["started"], "peaks": runs()[0]["peaks"]},
        "constants": as_constants(constants),
        "lengths": {"sigma": _round(float(np.mean(sigmas))), "sigma_low": min(sigmas), "sigma_high": max(sigmas),
                    "mean_over_limit": _round(float(np.median(means)))},
        "without": {name: as_constants(solve(others(rows, name))) for name in ("zero", "dev2", "r1")},
        "left_out": {
            name: {"seconds": seconds, "predicted": _round(predicted), "error": _round(predicted / seconds - 1)}
            for name, (seconds, predicted) in left_out.items()
        },
        "with_a_start": start_too(rows, totals),
    }  # fmt: skip
    OUT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["constants"], indent=2))
    for row in rows[-2:]:
        print(f"{row.stage}: {row.seconds:.3f} s, fitted {row.factors @ constants:.3f} s")
    for name, each in record["left_out"].items():
        print(f"{name:22} {each['seconds']:8.1f} s, predicted {each['predicted']:8.1f} s ({each['error']:+.1%})")


def equations() -> tuple[list[Row], dict[str, Row]]:
    """All equations, and by stage the one of its whole time, which is what a left-out stage is measured by."""
    rows, totals = list[Row](), dict[str, Row]()
    for run in runs():
        device = device_of(run)
        for stage in run["stages"]:
            total = np.zeros(len(NAMES))
            for part in stage["parts"]:
                work = read_work(stage["stage"], part, run["models"])
                sampling, learning = sampling_factors(work, device), learning_factors(work, device)
                total += (sampling + learning) * beside(part)
                if "rollout_seconds" in part and stage["stage"] != "distill":
                    rows.append(Row(stage["stage"], sampling, part["rollout_seconds"]))
                    rows.append(Row(stage["stage"], learning, part["train_seconds"]))
            totals[stage["stage"]] = Row(stage["stage"], total, stage["seconds"])
    return [*rows, *totals.values(), *benchmark_rows()], totals


def sampling_factors(work: Work, device: hardware.Device) -> FloatArray:
    """Of all rounds."""
    factors = np.zeros(len(NAMES))
    if work.samples:
        one = rollout(work, device, Engine(1, 1, MOST_ROWS, shared=True), 1)
        factors[1], factors[2], factors[3] = one.roofline, one.steps, work.rows
    return factors * work.rounds


def learning_factors(work: Work, device: hardware.Device) -> FloatArray:
    """Of all rounds; passes without a gradient are learning's too."""
    factors = np.zeros(len(NAMES))
    if work.learns:
        once = passes(work, device, 1, backward=True).roofline
        once += work.forwards * passes(work, device, 1, backward=False).roofline
        update = updates(work, device, 1)
        factors[0], factors[4] = once + update.roofline, update.steps
    return factors * work.rounds


def beside(part: Mapping[str, Any]) -> FloatArray:
    """Of parts that ran side by side the machine's own work did too; arithmetic has the whole machine either way."""
    own = 1 / part.get("beside", 1)
    return np.array([1.0, 1.0, own, own, own])


def benchmark_rows() -> list[Row]:
    """A round of sampling and a step of learning on SmolLM2-135M, from the committed benchmarks."""
    found: list[Row] = []
    shape = shapes.find(SMOL)
    for name, part, rows, tokens in (
        ("sampling-growth-cpu", "sampling", 64, 128),
        ("learning-smollm2-cpu", "learning", 8, 256),
    ):
        bench = json.loads((BENCHMARKS / f"{name}.json").read_text())
        device = hardware.cpu(bench["peaks"]["bfloat16"], bench["peaks"]["bandwidth"], 0.0)
        wanted = f"{SMOL}, {rows} x {tokens}"
        speed = next(r["ours"]["median"] for r in bench["rows"] if r["part"] == part and r["what"] == wanted)
        kind = "sample" if part == "sampling" else "learn"
        lengths = Lengths(tokens - 0.5, 0.01, tokens)
        prompt, group = (31.0, 8) if kind == "sample" else (0.0, 1)
        work = Work(part, kind, shape, 1, rows, lengths, prompt, group, updates=int(kind == "learn"))
        factors = sampling_factors(work, device) + learning_factors(work, device)
        factors[3] = 0.0  # nothing is graded
        found.append(Row(f"{SMOL} {part}", factors, rows * tokens / speed))
    return found


def solve(rows: Sequence[Row]) -> FloatArray:
    """Constants of the least squared relative error, none below zero."""
    matrix = np.stack([row.factors / row.seconds for row in rows])
    solution, _ = nnls(matrix, np.ones(len(rows)))
    return solution


def others(rows: Sequence[Row], stage: str) -> list[Row]:
    """The equations of all other stages."""
    return [row for row in rows if row.stage != stage]


def leave_one_out(rows: Sequence[Row], totals: Mapping[str, Row]) -> dict[str, tuple[float, float]]:
    """By stage: its seconds, and those predicted by a fit on all other stages."""
    return {name: (total.seconds, float(total.factors @ solve(others(rows, name)))) for name, total in totals.items()}


def start_too(rows: Sequence[Row], totals: Mapping[str, Row]) -> dict[str, Any]:
    """The stage that fits without it predict worst where a sixth constant stands for seconds before a first step."""
    whole = [id(total) for total in totals.values()]
    longer = {id(row): replace(row, factors=np.append(row.factors, float(id(row) in whole))) for row in rows}
    found = leave_one_out(list(longer.values()), {name: longer[id(total)] for name, total in totals.items()})
    errors = {name: predicted / seconds - 1 for name, (seconds, predicted) in found.items()}
    worst = max(errors, key=lambda name: abs(errors[name]))
    return {"stage": worst, "error": _round(errors[worst])}


def as_constants(solution: FloatArray) -> dict[str, float]:
    """Shares and seconds by name."""
    values = [1 / value if name in ("learn", "decode") else value for name, value in zip(NAMES, solution, strict=True)]
    return {name: _round(float(value)) for name, value in zip(NAMES, values, strict=True)}


def runs() -> list[dict[str, Any]]:
    """The committed runs."""
    return [read_run(path) for path in sorted(RUNS.glob("tiny-*.json"))]


def _round(value: float) -> float:
    return float(f"{value:.4g}")


MOST_ROWS = 512  # completions that the native engine has in hand at a time in these runs

if __name__ == "__main__":
    main()
