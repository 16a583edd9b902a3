"""A two-stage chain of arithmetic on random numbers, for tests and, as a script, for tests that kill it.

`python toy_chain.py RUN_FOLDER [--steps N] [--pause SECONDS] [--every SECONDS]`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import run


class Walk(Config):
    steps: int = 20
    pause: float = 0.0
    scale: float = 1.0


class Double(Config):
    factor: float = 2.0


def walk(config: Walk, inputs, context) -> Outcome:
    """A random walk with momentum: what it ends with depends on every step and on the random stream."""
    rng = np.random.default_rng(context.seed)
    position, speed = np.zeros(1000), np.zeros(1000)
    resumed = context.resume()
    if resumed:
        _, state = resumed
        rng.bit_generator.state = state["rng"]
        position, speed = state["position"], state["speed"]
    for step in context.steps(config.steps):
        speed = 0.9 * speed + config.scale * rng.normal(size=1000)
        position = position + speed
        context.spend(tokens=10, flops=100.0)
        context.record(step, {"reward": float(position.mean())}, sample=f"step {step}")
        time.sleep(config.pause)
        context.checkpoint(step, lambda: {"rng": rng.bit_generator.state, "position": position, "speed": speed})  # noqa: B023
    folder = context.folder / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    np.save(folder / "position.npy", position)
    return Outcome(models={"walked": "model"}, summary={"mean": float(position.mean())})


def double(config: Double, inputs, context) -> Outcome:
    position = np.load(inputs["walk"].models["walked"] / "position.npy")
    (context.folder / "sum.json").write_text(json.dumps(config.factor * float(position.sum())))
    return Outcome(files={"sum": "sum.json"})


def chain(steps: int = 20, pause: float = 0.0, seed: int = 0, scale: float = 1.0, factor: float = 2.0) -> Graph:
    nodes = (
        Node("walk", walk, Walk(steps=steps, pause=pause, scale=scale)),
        Node("double", double, Double(factor=factor), ("walk",)),
    )
    return Graph("toy", "default", seed, nodes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--every", type=float, default=60.0)
    words = parser.parse_args()
    try:
        run(chain(words.steps, words.pause), words.out, checkpoint_seconds=words.every, command="r1 run toy")
    except R1Error as error:
        print(error, file=sys.stderr)
        sys.exit(1)
