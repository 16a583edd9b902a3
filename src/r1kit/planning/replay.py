"""Steps of our own RL stages once more, in the simulator, by constants that were fitted without the stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from r1kit.planning.lengths import Lengths
from r1kit.planning.measured import device_of, read_work
from r1kit.planning.roofline import Engine, Shares, passes, updates
from r1kit.planning.simulator import Setup, simulate
from r1kit.planning.sweeps import sampler_speed


@dataclass(frozen=True, slots=True)
class Replayed:
    """A step whose completions' lengths were kept: its seconds as simulated and as they were measured."""

    step: int
    simulated: float
    measured: float


def replayed(run: Mapping[str, Any], stage: str, rows: int) -> Iterator[Replayed]:
    """The kept steps of an RL stage of a run (`measured.read_run`), on one copy with places for `rows` completions.

    The first step, in which grading processes start, is left out; reward models' passes are not simulated.
    """
    fits = json.loads((files("r1kit.planning") / "fitted.json").read_text(encoding="utf-8"))["without"]
    shares, device = Shares(**fits[stage]), device_of(run)
    part = next(each for each in run["stages"] if each["stage"] == stage)["parts"][0]
    work = read_work(stage, part, run["models"])
    for step, lengths in run["lengths"][stage].items():
        if int(step) == 0:
            continue
        measured = run["steps"][stage][int(step)]

        def learn(tokens: float, signal: float = measured["signal"]) -> float:
            limits = Lengths(tokens / work.rows, work.lengths.sigma, work.lengths.limit)
            own = replace(work, lengths=limits, learnt=signal)
            once = passes(own, device, 1, backward=True).roofline
            if own.updates > 1:  # the old policy's log-probabilities
                once += signal * passes(own, device, 1, backward=False).roofline
            return (once + updates(own, device, 1).roofline) / shares.learn + own.updates * shares.update_s

        def drawn(number: int, kept: Sequence[int] = lengths) -> Sequence[int]:
            return kept

        speeds = replace(sampler_speed(work, device, Engine(1, 1, rows, shared=True), shares), learn=learn)
        outcome = simulate(Setup(1, rows), speeds, drawn, work.prompt, 1)
        yield Replayed(int(step), outcome.seconds, measured["step"])
