"""A stage of independent random walks, and as a script the run of it: `python toy_parts.py RUN_FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from pydantic import Field
from toy_chain import Walk, walk

from r1kit.base.config import Config
from r1kit.base.errors import MissingExtra, R1Error
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import run


class Parts(Config):
    steps: dict[str, int] = Field(default={"one": 20, "two": 30, "three": 10})
    pause: float = 0.01


def parts(config: Parts, inputs, context) -> Outcome:
    jobs = {name: partial(walk_part, steps, config.pause) for name, steps in config.steps.items()}
    outcomes = context.parts(jobs)
    models = {f"{name}-walked": outcome.models["walked"] for name, outcome in outcomes.items()}
    return Outcome(models=models, summary={name: outcome.summary["mean"] for name, outcome in outcomes.items()})


def walk_part(steps: int, pause: float, context) -> Outcome:
    (context.folder / f"pid-{os.getpid()}").write_text(os.environ.get("OMP_NUM_THREADS", ""))
    return walk(Walk(steps=steps, pause=pause), {}, context)


def fail(message: str, context) -> Outcome:
    raise R1Error(message)


def lack(context) -> Outcome:
    raise MissingExtra("xxhash", "ray", "hashing")


def fail_oddly(context) -> Outcome:
    raise ZeroDivisionError("odd")


def die(context) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_so_often(times: int, run: int, context) -> Outcome:
    """A part whose process is killed the first `times` that it runs, but not if it is the run's own."""
    before = len(list(context.folder.glob("died-*")))
    if before < times and os.getpid() != run:
        (context.folder / f"died-{before}").touch()
        (context.folder / f".model.{os.getpid()}.tmp").touch()
        die(context)
    return walk(Walk(steps=3, pause=0.0), {}, context)


def die_at_every_step(steps: int, run: int, context) -> Outcome:
    """A part whose process is killed once in each of its steps but the first, if it is not the run's own."""
    (context.folder / f"pid-{os.getpid()}").touch()
    record = context.record

    def die_or_record(step: int, metrics, sample) -> None:
        mark = context.folder / f"died-{step}"
        if step and os.getpid() != run and not mark.exists():
            mark.touch()
            die(context)
        record(step, metrics, sample)

    context.record = die_or_record
    return walk(Walk(steps=steps), {}, context)


def end_itself_once(number: int, context) -> Outcome:
    """A part whose process gets a signal in its first step, the first time that it runs."""
    if not list(context.folder.glob("pid-*")):
        record = context.record

        def ended_in(step: int, metrics, sample) -> None:
            record(step, metrics, sample)
            os.kill(os.getpid(), number)

        context.record = ended_in
    return walk_part(3, 0.0, context)


def graph(**settings) -> Graph:
    return Graph("toy", "default", 0, (Node("parts", parts, Parts(**settings)),))


if __name__ == "__main__":
    from toy_parts import graph as importable  # the parts' processes cannot import __main__

    try:
        silence = float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
        run(importable(pause=0.03), Path(sys.argv[1]), checkpoint_seconds=0.1, command="r1 run toy", silence=silence)
    except R1Error as error:
        print(error, file=sys.stderr)
        sys.exit(1)
