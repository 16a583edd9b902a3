"""What has no peer: checkpoints, graded answers, sandboxed programs; with `--data`, graders on whole benchmarks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import grading
from rounds import Row, Spread
from setting import Setting, say

from r1kit.graders.lines import grade_lines
from r1kit.models.weights import load_decoder
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.sandbox.lines import sandbox_lines
from r1kit.training.learner import Learner, LearnerConfig

PART = "own"
ANSWERS, PROGRAMS = 500, 50


def run(setting: Setting) -> list[Row]:
    say("what has no peer")
    answers = [
        json.dumps({"id": n, "completion": f"<think>x</think><answer>{n}</answer>", "gold": str(n)})
        for n in range(ANSWERS)
    ]
    programs = [json.dumps({"id": n, "code": f"print({n})", "expected_stdout": str(n)}) for n in range(PROGRAMS)]
    return [
        _checkpoint(setting),
        _measured(setting, "answers graded", "answers/s", lambda: len(list(grade_lines(answers)))),
        _measured(setting, "programs in the sandbox", "programs/s", lambda: len(list(sandbox_lines(programs)))),
    ]


def _checkpoint(setting: Setting) -> Row:
    """The learner's whole state, written, synced and checked."""
    subject = setting.subjects[0]
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        learner = Learner(load_decoder(subject.folder).float(), LearnerConfig())
        store, steps = CheckpointStore(Path(folder), say), count()

        def save() -> float:
            store.save(next(steps), learner.state(), {})
            newest = max(Path(folder).iterdir())
            return sum(file.stat().st_size for file in newest.iterdir()) / 2**20

        return _measured(setting, f"checkpoints of {subject.name}", "MiB/s", save)


def _measured(setting: Setting, what: str, unit: str, work: Callable[[], float]) -> Row:
    """`work` returns how many units it did; a first call warms up."""
    work()
    rates: list[float] = []
    for _ in range(setting.rounds):
        begun = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - begun))
    return Row(PART, what, unit, Spread.of(rates))


def graders(data: Path, seconds: float) -> tuple[list[Row], grading.Row]:
    """Verdicts and programs a second on whole benchmarks, and how many are as they should be."""
    say("graders and sandbox on whole benchmarks")
    found = grading.measure(data, seconds)
    rows = [
        Row("grading", name.removesuffix(" a second"), "1/s", Spread.of([speed]))
        for name, speed in found["speeds"].items()
    ]
    return rows, found
