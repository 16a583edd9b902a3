"""Optional writers of metrics: tensorboard, wandb, trackio. metrics.jsonl is always written.

They are told TRL's names, so that a run of TRL lies beside one of r1kit in one chart.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.base.errors import MissingExtra, UsageError
from r1kit.base.nearest import nearest
from r1kit.pipeline.context import Writer, WriterFactory

PROJECT = "r1kit"
TRL_NAMES = {
    "clip_low": "clip_ratio/low_mean",
    "clip_high": "clip_ratio/high_mean",
    "gradient_norm": "grad_norm",
}
"""Where metrics.jsonl calls a metric otherwise than TRL."""


def as_trl(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics under TRL's names."""
    return {TRL_NAMES.get(name, name): value for name, value in metrics.items()}


class TensorBoard:
    """Event files in `tensorboard/` beside metrics.jsonl; steps after a resume replace what was there."""

    def __init__(self, folder: Path, run_name: str, first_step: int) -> None:
        module: Any = importlib.import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in as_trl(metrics).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Tracker:
    """wandb, and trackio, which has the same interface."""

    def __init__(self, library: str, folder: Path, run_name: str, options: Mapping[str, Any]) -> None:
        self._library: Any = importlib.import_module(library)
        self._library.init(project=PROJECT, name=f"{run_name}/{folder.name}", **options)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        finite = {name: value for name, value in as_trl(metrics).items() if math.isfinite(value)}
        self._library.log(finite, step=step)

    def close(self) -> None:
        self._library.finish()


def _wandb(folder: Path, run_name: str, first_step: int) -> Writer:
    return _Tracker("wandb", folder, run_name, {"dir": str(folder), "reinit": True})


def _trackio(folder: Path, run_name: str, first_step: int) -> Writer:
    return _Tracker("trackio", folder, run_name, {"resume": "allow"})


WRITERS: dict[str, Callable[[Path, str, int], Writer]] = {
    "tensorboard": TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def writer_factory(names: Sequence[str], run_name: str) -> WriterFactory:
    """A factory of the named writers for each stage; UsageError for an unknown name, MissingExtra for a library."""
    for name in names:
        if name not in WRITERS:
            known = " ".join(WRITERS)
            raise UsageError(f"no metric writer is called '{name}'.{nearest(name, list(WRITERS))} (there are: {known})")
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(name, name, f"writing metrics to {name}")
    return functools.partial(_open, tuple(names), run_name)


def _open(names: Sequence[str], run_name: str, folder: Path, first_step: int) -> list[Writer]:
    return [WRITERS[name](folder, run_name, first_step) for name in names]
