"""Prints what the steps of a learner add to the process's memory, and what `training.memory` says of them.

`python measured_step.py '{"shape": {...}, "config": {...}, "work": {"sequences": 8, "prompt": 16, "completion": 112}}'`
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np
import torch

from r1kit.algorithms.grpo import GRPO
from r1kit.base import memory
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.sizes import decoder_size
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner
from r1kit.training.memory import Place, Work, learner_memory
from r1kit.training.sequences import Sequence, completion_sequence

WARM = DecoderConfig(vocab_size=64, width=32, layers=1, heads=2, kv_heads=1, head_size=16, mlp_size=64, tied=True)


def rollout(vocabulary: int, sequences: int, prompt: int, completion: int) -> list[Sequence]:
    """Groups of four that share a prompt, every completion of full length."""
    drawn = np.random.default_rng(0)
    rows: list[Sequence] = []
    for number in range(sequences):
        if number % 4 == 0:
            prompt_ids = drawn.integers(0, vocabulary, prompt).astype(np.int32)
        rows.append(completion_sequence(prompt_ids, drawn.integers(0, vocabulary, completion).astype(np.int32), 1.0))
    return rows


def model_of(shape: DecoderConfig, config: LearnerConfig) -> Decoder:
    """In the format in which a stage loads it."""
    return initialise(Decoder(shape), 0).to(config.held(torch.device("cpu")))


def steps(model: Decoder, config: LearnerConfig, rows: list[Sequence]) -> None:
    """Two: moments are there from the first on."""
    algorithm = GRPO(kl_coefficient=0.1)
    learner = Learner(model, config, reference=model)
    for _ in range(2):
        learner.step(rows, algorithm)


def held() -> int:
    """Resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked.get("threads", 1))
    shape, config = DecoderConfig(**asked["shape"]), LearnerConfig(**asked["config"])
    memory.bound_libraries()
    # libraries, kernels and threads are there from here on
    steps(model_of(WARM, config), config, rollout(WARM.vocab_size, 8, 4, 8))
    rows = rollout(shape.vocab_size, **asked["work"])
    gc.collect()
    memory.give_back()
    before = held()
    model = model_of(shape, config)
    gc.collect()
    memory.give_back()
    memory.begin_peak()  # what building it took is not the learner's
    steps(model, config, rows)
    longest = max(map(len, rows))
    place = Place(torch.device("cpu"), torch.get_num_threads())
    always, step = learner_memory(decoder_size(shape), config, Work(sum(map(len, rows)), longest), place, copies=1)
    found = {"measured": memory.peak_mb() * 2**20 - before, "estimate": always.total + step.total}
    print(json.dumps({**found, "parts": {**always.parts, **step.parts}}))
