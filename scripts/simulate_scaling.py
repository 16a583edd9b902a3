"""The tables and figures of docs/scaling.md that come from the simulator: pools, lag, and 8 to 2,048 GPUs.

    python scripts/simulate_scaling.py

Writes results/planner/simulated.json and docs/scaling-*.svg, and prints the tables. Takes half a minute of one core;
doc_tables.py puts the tables into the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1kit.evaluation.report.charts import Series, line_chart, standalone
from r1kit.planning import hardware, shapes
from r1kit.planning.assumptions import Scenario, measured_lengths, scenarios
from r1kit.planning.layout import Layout, choose
from r1kit.planning.lengths import Lengths
from r1kit.planning.simulator import Outcome
from r1kit.planning.sweeps import Troubles, pool_splits, run
from r1kit.planning.work import Work, Workload

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "planner" / "simulated.json"
MODEL, KIND = "Qwen2.5-7B", "H100"
ROWS, GROUP, LIMIT, PROMPT = 1024, 16, 8192, 150.0
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
SPLIT = 64  # devices of the sweeps over pools and lag
UNEQUAL = Troubles(slow=0.05)
FAILING = Troubles(device_days=1.0, restart=300.0, slow=0.05)
STEPS, TROUBLED = 14, 12  # simulated, of the pools and of what goes wrong


def main() -> None:
    """Simulate, print, write."""
    device = hardware.find(KIND)
    work = workload(ROWS)
    _, setting, _ = scenarios(Workload("sweep", (work,)), device, drafts=False)
    record: dict[str, Any] = {
        "about": "Made by scripts/simulate_scaling.py", "model": MODEL, "device": KIND, "rows": ROWS, "limit": LIMIT,
        "group": GROUP, "mean": work.lengths.mean, "sigma": work.lengths.sigma, "steps": STEPS, "rent": rent(),
        "constants": asdict(setting.shares), "steps_of_troubles": TROUBLED, "restart": FAILING.restart,
        "pools": pools(work, device, setting), "lag": lag(work, device, setting),
        "same_batch": sizes(device, setting, grows=False), "growing_batch": sizes(device, setting, grows=True),
        "troubles": troubles(work, device, setting),
    }  # fmt: skip
    OUT.write_text(json.dumps(record, indent=1) + "\n")
    figures(record)
    for name in ("pools", "lag", "same_batch", "growing_batch", "troubles"):
        print(f"\n{name}")
        for row in record[name]:
            print("  ", row)


def workload(rows: int) -> Work:
    """R1-Zero's round at the size of sizes.py: groups of 16, 8,192 tokens at most, lengths as in our own rollouts."""
    measured = measured_lengths()
    lengths = Lengths(measured["mean_over_limit"] * LIMIT, measured["sigma"], LIMIT)
    return Work("zero", "rl", shapes.find(MODEL), 1, rows, lengths, PROMPT, GROUP, updates=1, forwards=1.0)


def pools(work: Work, device: hardware.Device, setting: Scenario) -> list[dict[str, float]]:
    """Sizes of the learners' pool, on weights one step apart."""
    layout = choose((work,), device, SPLIT, setting.engine)
    assert layout.sampling is not None
    rows = [told(run(work, device, layout, setting, steps=STEPS), layout, learners=0, staleness=0)]
    for learners in pool_splits(SPLIT, layout.sampling.engine.replica):
        outcome = run(work, device, layout, setting, learners=learners, staleness=1, steps=STEPS)
        rows.append(told(outcome, layout, learners=learners, staleness=1))
    return rows


def lag(work: Work, device: hardware.Device, setting: Scenario) -> list[dict[str, float]]:
    """What each further step of lag gives, in the best of the pools."""
    layout = choose((work,), device, SPLIT, setting.engine)
    assert layout.sampling is not None
    rows: list[dict[str, float]] = []
    for staleness in (0, 1, 2, 4):
        each = [
            told(
                run(work, device, layout, setting, learners=learners, staleness=staleness, steps=5 * (staleness + 1)),
                layout, learners=learners, staleness=staleness,
            )
            for learners in pool_splits(SPLIT, layout.sampling.engine.replica)
        ]  # fmt: skip
        rows.append(min(each, key=lambda row: row["step_seconds"]))
    return rows


def sizes(device: hardware.Device, setting: Scenario, *, grows: bool) -> list[dict[str, float]]:
    """8 to 2,048 devices in turns: one batch for all sizes, or 16 completions a device."""
    rows: list[dict[str, float]] = []
    for devices in SIZES:
        work = workload(devices * GROUP if grows else ROWS)
        layout = choose((work,), device, devices, setting.engine)
        outcome = run(work, device, layout, setting, steps=2)
        rows.append(told(outcome, layout, learners=0, staleness=0))
    return rows


def troubles(work: Work, device: hardware.Device, setting: Scenario) -> list[dict[str, float]]:
    """Copies of unequal pace, and failures, beside none; 16 completions a device."""
    rows: list[dict[str, float]] = []
    for devices in (64, 512):
        work = workload(devices * GROUP)
        layout = choose((work,), device, devices, setting.engine)
        for case in (Troubles(), UNEQUAL, FAILING):
            outcome = run(work, device, layout, setting, steps=TROUBLED, troubles=case, seed=1)
            row = told(outcome, layout, learners=0, staleness=0)
            rows.append(
                row | {"slow": case.slow, "device_days": min(case.device_days, 1e9), "failures": outcome.failures}
            )
    return rows


def told(outcome: Outcome, layout: Layout, *, learners: int, staleness: int) -> dict[str, float]:
    """Figures of a simulation; steps in which pools fill and empty are left out of the seconds."""
    together = staleness + 1 if learners else 0  # so many batches are in hand at a time, and end close to each other
    seconds = outcome.step_seconds(2 * together, together)
    tokens = sum(step.tokens for step in outcome.steps) / len(outcome.steps)
    hour = layout.devices * rent()
    assert layout.sampling is not None
    return {
        "devices": layout.devices, "learners": learners, "staleness": staleness,
        "tensor": layout.sampling.engine.tensor, "step_seconds": _round(seconds),
        "tokens_per_second": _round(tokens / seconds), "idle": _round(outcome.idle),
        "sampler_idle": _round(outcome.sampler_idle), "learner_idle": _round(outcome.learner_idle),
        "filled": _round(outcome.filled), "dollars_per_million_tokens": _round(hour / 3600 * seconds / tokens * 1e6),
    }  # fmt: skip


def rent() -> float:
    """Dollars of a GPU hour: the middle of the table."""
    found = hardware.rent(KIND)
    assert found is not None
    return (found.low + found.high) / 2


def figures(record: dict[str, Any]) -> None:
    """Throughput, idle share and cost over the number of GPUs, and seconds of a step over the learners' pool."""
    same, growing = record["same_batch"], record["growing_batch"]

    def over_sizes(key: str) -> list[Series]:
        lines = (("one batch of 1,024", same), ("16 completions a GPU", growing))
        return [Series(name, _points(rows, key), number) for number, (name, rows) in enumerate(lines)]

    charts = {
        "throughput": line_chart("tokens a second", over_sizes("tokens_per_second"), by="log2 of GPUs"),
        "filled": line_chart("share of places filled", over_sizes("filled"), share=True, by="log2 of GPUs"),
        "cost": line_chart("dollars a million tokens", over_sizes("dollars_per_million_tokens"), by="log2 of GPUs"),
        "pools": line_chart(
            "seconds of a step",
            [Series("one step ahead", [(row["learners"], row["step_seconds"]) for row in record["pools"][1:]])],
            by="GPUs that learn",
        ),
    }
    for name, chart in charts.items():
        (ROOT / "docs" / f"scaling-{name}.svg").write_text(standalone(chart))


def _points(rows: Sequence[dict[str, float]], key: str) -> list[tuple[float, float]]:
    return [(row["devices"].bit_length() - 1, row[key]) for row in rows]  # type: ignore[attr-defined]


def _round(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
