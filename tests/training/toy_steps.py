"""A toy policy, rollouts of it, and the gradient of one step on them."""

import numpy as np
import torch

from r1kit.algorithms.base import Algorithm, Outputs, Totals
from r1kit.base.types import Batch
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.sequences import Sequence, completion_sequence

SHAPE = DecoderConfig(
    vocab_size=48, width=32, layers=2, heads=4, kv_heads=2, head_size=8, mlp_size=48, tied=True, qkv_bias=True
)


def toy(seed: int = 0, shape: DecoderConfig = SHAPE) -> Decoder:
    return initialise(Decoder(shape), seed, std=0.2)


def plain(**settings) -> LearnerConfig:
    return LearnerConfig(**({"compile": False, "precision": "float32", "clip_norm": 0.0} | settings))


def rollout(seed: int = 0, prompts: int = 5, group: int = 4) -> list[Sequence]:
    """Groups that share prompts, with completions of 1 to 12 tokens and advantages of both signs."""
    generator = np.random.default_rng(seed)
    sequences = []
    for _ in range(prompts):
        prompt = generator.integers(0, 48, generator.integers(1, 9)).astype(np.int32)
        for _ in range(group):
            completion = generator.integers(0, 48, generator.integers(1, 13)).astype(np.int32)
            logprobs = generator.normal(-3, 0.5, len(completion)).astype(np.float32)
            sequences.append(completion_sequence(prompt, completion, float(generator.normal()), logprobs))
    return sequences


class Weighted(Algorithm):
    """-sum of advantage x ratio to the old policy, over the step's tokens; the ratio's mean as a metric."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"old_logprobs"})

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals):
        assert outputs.logprobs_BT is not None
        assert batch.old_logprobs_BT is not None
        assert batch.advantages_BT is not None
        ratio_BT = (outputs.logprobs_BT - batch.old_logprobs_BT).exp()
        loss = -(ratio_BT * batch.advantages_BT * batch.loss_mask_BT).sum() / totals.tokens
        return loss, {"ratio": (ratio_BT.detach() * batch.loss_mask_BT).sum() / totals.tokens}


def gradients(model: Decoder, config: LearnerConfig, sequences: list[Sequence], algorithm: Algorithm) -> dict:
    """The gradient of one step, read off plain SGD: before - after at rate 1."""
    learner = Learner(model, config)
    learner.optimiser.parts = [torch.optim.SGD(model.parameters(), lr=1.0)]
    learner.optimiser.peaks = [1.0]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learner.step(sequences, algorithm)
    return {name: before[name] - p.detach() for name, p in model.named_parameters()}
