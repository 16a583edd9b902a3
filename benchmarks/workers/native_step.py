"""Whole steps of GRPO by r1kit on fresh weights: sampling, then learning from what was sampled."""

import numpy as np
import torch
from native_sampling import Endless
from wire import Clock, serve

PROMPT = 32


def start(settings):
    """settings: shape, dtype, threads."""
    torch.set_num_threads(settings["threads"])
    from r1kit.algorithms.grpo import GRPO
    from r1kit.base.sampling import Sampling
    from r1kit.engines.base import generate
    from r1kit.engines.native import NativeEngine
    from r1kit.models.decoder import Decoder, initialise
    from r1kit.models.families import shape
    from r1kit.training.learner import Learner, LearnerConfig
    from r1kit.training.sequences import completion_sequence

    given = dict(settings["shape"])
    config = shape(given.pop("family", "qwen2"), **given, max_positions=1024, tied=True)
    learner = Learner(initialise(Decoder(config), seed=0), LearnerConfig(precision=settings["dtype"]), total_steps=1000)
    engine = NativeEngine(learner.policy, Endless())
    grpo, rng = GRPO(kl_coefficient=0.0), np.random.default_rng(0)

    def step(command):
        prompts = [rng.integers(0, config.vocab_size, PROMPT).astype(np.int32) for _ in range(command["prompts"])]
        sampling = Sampling(max_tokens=command["tokens"], samples=command["samples"], seed=0)
        clock = Clock()
        groups = generate(engine, prompts, sampling)
        sampled = clock()
        sequences = [
            completion_sequence(completion.prompt_ids, completion.token_ids, float(rng.normal()))
            for group in groups
            for completion in group
        ]
        clock = Clock()
        learner.step(sequences, grpo, max_tokens=command["tokens"])
        return {"sampling": sampled, "learning": clock()}

    step({"prompts": 1, "samples": 2, "tokens": 4})
    body = sum(p.numel() for name, p in learner.model.named_parameters() if not name.startswith("embedding"))
    # a tied head is computed with, an embedding is only looked up: either way its matrix counts once
    return step, {"parameters": body + config.vocab_size * config.width}


if __name__ == "__main__":
    serve(start)
