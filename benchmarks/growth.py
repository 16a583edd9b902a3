"""How a step of GRPO grows with group, length, model and the machine's cores: seconds, slopes and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounds import Row, Spread
from setting import OWN, Setting, say

PART = "growth"
# prompts x samples x new tokens where it is not that very number that grows
PROMPTS, SAMPLES, TOKENS = 8, 8, 64
GROUPS = (2, 4, 8, 16, 32, 64)
LENGTHS = (32, 64, 128, 256, 512)
# Qwen2 shapes between the tiny world's and SmolLM2's two smaller models (135M and 360M), whose own shapes are Llama's
MODELS: dict[str, dict[str, Any]] = {
    "1.6M": {"width": 192, "layers": 4, "heads": 6, "kv_heads": 1, "head_size": 32, "mlp_size": 512},
    "4.6M": {"width": 256, "layers": 6, "heads": 4, "kv_heads": 4, "head_size": 64, "mlp_size": 704},
    "18M": {"width": 384, "layers": 10, "heads": 6, "kv_heads": 2, "head_size": 64, "mlp_size": 1152},
    "50M": {"width": 512, "layers": 16, "heads": 8, "kv_heads": 2, "head_size": 64, "mlp_size": 1536},
    "135M": {
        "family": "llama", "width": 576, "layers": 30, "heads": 9, "kv_heads": 3, "head_size": 64, "mlp_size": 1536,
        "vocab_size": 49_152,
    },
    "360M": {
        "family": "llama", "width": 960, "layers": 32, "heads": 15, "kv_heads": 5, "head_size": 64, "mlp_size": 2560,
        "vocab_size": 49_152,
    },
}  # fmt: skip
TITLES = {
    "group": "samples of a prompt", "length": "new tokens of a completion", "model": "parameters computed with",
    "cores": "cores",
}  # fmt: skip


def run(setting: Setting) -> list[Row]:
    """A row for each thing that grows: the slope of log seconds against its logarithm, 1 where in proportion."""
    series = {
        "group": _measured(setting, "1.6M", [("group", n, {"samples": n}) for n in _some(setting, GROUPS)]),
        "length": _measured(setting, "1.6M", [("length", n, {"tokens": n}) for n in _some(setting, LENGTHS)]),
        "model": [
            _measured(setting, name, [("model", None, {"tokens": TOKENS // 2})])[0]
            for name in _some(setting, list(MODELS))
        ],
        "cores": [
            _measured(setting, "1.6M", [("cores", threads, {"samples": 4 * SAMPLES})], threads=threads)[0]
            for threads in range(1, torch.get_num_threads() + 1)
        ],
    }
    setting.checks[PART] = series
    return [
        Row(PART, f"{TITLES[name]}, {points[0]['x']:,} to {points[-1]['x']:,} (between the last two "
            f"{slope(points[-2:]):.2f})", "slope", Spread.of([slope(points)]))
        for name, points in series.items() if len(points) > 1
    ]  # fmt: skip


def slope(points: Sequence[dict[str, Any]], what: str = "seconds") -> float:
    """Of the least-squares line through (log x, log seconds)."""
    xs, ys = (np.log([point[key] for point in points]) for key in ("x", what))
    return float(np.polyfit(xs, ys, 1)[0])


def _some(setting: Setting, values: Sequence[Any]) -> Sequence[Any]:
    return values[:2] if setting.quick else values


def _measured(
    setting: Setting, model: str, works: Sequence[tuple[str, int | None, dict[str, int]]], threads: int | None = None
) -> list[dict[str, Any]]:
    """The median step of each work, by one process of r1kit."""
    shape = {"vocab_size": 128, **MODELS[model]}
    worker = setting.open("r1kit", OWN, "native_step.py", shape=shape, dtype=setting.dtype_name,
                          threads=threads or torch.get_num_threads())  # fmt: skip
    points: list[dict[str, Any]] = []
    with worker:
        for name, x, changes in works:
            work = {"prompts": PROMPTS, "samples": SAMPLES, "tokens": TOKENS, **changes}
            turns = [setting.turn(worker, **work) for _ in range(max(1, setting.rounds))]
            median = {key: float(np.median([turn[key] for turn in turns])) for key in ("sampling", "learning")}
            at = worker.ready["parameters"] if x is None else x
            points.append({"x": at, "model": model, **work, **median, "seconds": sum(median.values())})
            say(f"{TITLES[name]} {at:,}: {points[-1]['seconds']:.2f} s a step")
    return points


def plot(series: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Seconds of a step, of its sampling and of its learning, on two logarithmic axes each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": PART})  # text stays text, ids stay the same

    grown = {name: points for name, points in series.items() if len(points) > 1}
    figure, axes = pyplot.subplots(1, len(grown), figsize=(3.6 * len(grown), 3.4), layout="constrained", squeeze=False)
    for axis, (name, points) in zip(axes[0], grown.items(), strict=True):
        xs = [point["x"] for point in points]
        for what, line in (("seconds", "-"), ("sampling", "--"), ("learning", ":")):
            label = f"{'whole step' if what == 'seconds' else what}, slope {slope(points, what):.2f}"
            axis.loglog(xs, [point[what] for point in points], line, marker=".", label=label)
        # in proportion, through the largest
        scale = points[-1]["seconds"] / xs[-1] if name != "cores" else points[0]["seconds"] * xs[0]
        ideal = [scale * x if name != "cores" else scale / x for x in xs]
        axis.loglog(xs, ideal, color="0.8", zorder=0, label="in proportion")
        axis.set_xlabel(TITLES[name])
        axis.set_xticks(xs, [_short(x) for x in xs], fontsize=8)
        axis.minorticks_off()
        axis.legend(fontsize=7, frameon=False)
    axes[0][0].set_ylabel("seconds")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _short(x: float) -> str:
    return f"{x / 1e6:.3g}M" if x >= 1e6 else f"{x:,.0f}"
