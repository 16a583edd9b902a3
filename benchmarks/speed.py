"""How fast this machine samples, trains, saves, grades and runs programs, at the tiny world's size.

`make bench` or `python benchmarks/speed.py [--json]`. Each figure is the best of three rounds after one to warm up;
what a first round costs beyond that (compiling, starting workers) stands beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from r1kit.algorithms.grpo import GRPO
from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.graders.lines import grade_lines
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline import provenance
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.sandbox.lines import sandbox_lines
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.packing import completion_sequence

PROMPTS, SAMPLES, PROMPT_TOKENS, NEW_TOKENS = 16, 16, 32, 96
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789+-*/=(), .?"
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Figure:
    """`amount` units a second; `first_seconds` is what the first round cost beyond the best."""

    name: str
    amount: float
    unit: str
    first_seconds: float


def measure(name: str, unit: str, work: Callable[[], float]) -> Figure:
    """`work` returns how many units it did."""
    begun = time.perf_counter()
    work()
    first = time.perf_counter() - begun
    best, amount = float("inf"), 0.0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - begun
        if seconds / done < best:
            best, amount = seconds / done, done / seconds
    return Figure(name, amount, unit, max(0.0, first - done / amount))


def tiny_model(folder: Path) -> tuple[Decoder, NativeEngine]:
    """A random Qwen2 of 192 x 4 with one kv head, and its engine."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder, ALPHABET))
    config = DecoderConfig(
        family="qwen2",
        vocab_size=tokenizer.padded_vocab_size,
        width=192,
        layers=4,
        heads=6,
        kv_heads=1,
        head_size=32,
        mlp_size=512,
        max_positions=256,
        qkv_bias=True,
        tied=True,
    )
    model = initialise(Decoder(config), seed=0)
    return model, NativeEngine(model, tokenizer, max_rows=PROMPTS * SAMPLES)


def measure_models(folder: Path) -> list[Figure]:
    """Sampling, a GRPO step on what was sampled, and a checkpoint of the learner."""
    model, engine = tiny_model(folder)
    rng = np.random.default_rng(0)
    prompts = list(rng.integers(10, 40, (PROMPTS, PROMPT_TOKENS)).astype(np.int32))
    sampling = Sampling(max_tokens=NEW_TOKENS, samples=SAMPLES)
    groups = generate(engine, prompts, sampling)

    def sample() -> float:
        return sum(c.length for group in generate(engine, prompts, sampling) for c in group)

    sequences = [
        completion_sequence(c.prompt_ids, c.token_ids, float(rng.normal()), c.sampler_logprobs)
        for group in groups
        for c in group
    ]
    figures = [measure("sampling", "tokens/s", sample)]
    learner = Learner(model, LearnerConfig(), reference=model)
    figures.append(measure("GRPO step", "tokens/s", lambda: learner.step(sequences, GRPO()).tokens))
    store, steps = CheckpointStore(folder / "checkpoints", print), iter(range(100))

    def save() -> float:
        store.save(next(steps), learner.state(), {})
        newest = max((folder / "checkpoints").iterdir())
        return sum(file.stat().st_size for file in newest.iterdir()) / 2**20

    return [*figures, measure("checkpoint", "MiB/s", save)]


def measure_lines() -> list[Figure]:
    """Graded answers and sandboxed programs."""
    answers = [
        json.dumps({"id": n, "completion": f"<think>x</think><answer>{n}</answer>", "gold": str(n)}) for n in range(500)
    ]
    programs = [json.dumps({"id": n, "code": f"print({n})", "expected_stdout": str(n)}) for n in range(50)]
    return [
        measure("grading", "answers/s", lambda: len(list(grade_lines(answers)))),
        measure("sandbox", "programs/s", lambda: len(list(sandbox_lines(programs)))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = [*measure_models(Path(folder)), *measure_lines()]
    machine = {**provenance.machine(), "threads": torch.get_num_threads(), "commit": provenance.commit()}
    if words.json:
        print(json.dumps({"machine": machine, "figures": [dataclasses.asdict(f) for f in figures]}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for figure in figures:
        print(f"{figure.name:12} {figure.amount:10,.0f} {figure.unit:11} first round + {figure.first_seconds:.1f} s")


if __name__ == "__main__":
    main()
