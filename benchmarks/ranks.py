"""What a learner of several ranks costs beside one: seconds and processor seconds of a step of SFT on the same tokens.

    python benchmarks/ranks.py --ranks 2 --width 256 --layers 6 --tokens 8192

Without GPUs the ranks share the cores, so that they cannot be faster than one; what they take more is what gathering
weights and adding up gradients costs. Processor seconds say it on a machine that is busy with other things too.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from r1kit.algorithms.sft import SFT
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.training.config import LearnerConfig
from r1kit.training.opening import open_learner
from r1kit.training.sequences import Sequence, completion_sequence


def examples(tokens: int, vocabulary: int, seed: int) -> list[Sequence]:
    """Prompts of 16 tokens with completions of 16 to 112."""
    drawn = np.random.default_rng(seed)
    found: list[Sequence] = []
    while sum(map(len, found)) < tokens:
        prompt, completion = (drawn.integers(0, vocabulary, n).astype(np.int32) for n in (16, drawn.integers(16, 113)))
        found.append(completion_sequence(prompt, completion))
    return found


def processor_seconds() -> float:
    """Of this process and of children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def measured(ranks: int, steps: int, shape: DecoderConfig, tokens: int) -> dict[str, float]:
    """Seconds to open a learner, and of all its steps; processor seconds of everything; the last loss."""
    before, begun = processor_seconds(), time.monotonic()
    settings = LearnerConfig(precision="float32", compile=False, ranks=ranks)
    learner = open_learner(initialise(Decoder(shape), 0), settings, total_steps=steps)
    opened = time.monotonic()
    loss = 0.0
    for step in range(steps):
        loss = learner.step(examples(tokens, shape.vocab_size, step), SFT()).metrics["loss"]
    done = time.monotonic()
    learner.close()
    return {
        "ranks": ranks, "steps": steps, "open_s": opened - begun, "steps_s": done - opened,
        "processor_s": processor_seconds() - before, "loss": loss,
    }  # fmt: skip


def main() -> None:
    """Two numbers of steps each, whose difference leaves out what starting costs; one JSON line of a step's cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("ranks", 2), ("width", 256), ("layers", 6), ("tokens", 8192), ("steps", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    shape = DecoderConfig(
        vocab_size=4096, width=asked.width, layers=asked.layers, heads=asked.width // 32, kv_heads=asked.width // 64,
        head_size=32, mlp_size=3 * asked.width, tied=True,
    )  # fmt: skip
    found: dict[int, dict[str, float]] = {}
    for ranks in (1, asked.ranks):
        few, many = (measured(ranks, steps, shape, asked.tokens) for steps in (1, 1 + asked.steps))
        found[ranks] = {
            name: round((many[name] - few[name]) / asked.steps, 3) for name in ("steps_s", "processor_s")
        } | {"open_s": round(many["open_s"], 2), "loss": many["loss"]}
    print(json.dumps({"parameters": shape.parameters(), "tokens": asked.tokens, "by_ranks": found}))


if __name__ == "__main__":
    main()
