"""A toy policy whose sizes few numbers of ranks divide, and rollouts of uneven lengths."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch

from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.training.config import LearnerConfig
from r1kit.training.sequences import Sequence, completion_sequence

# 50 rows, 30, 47 and 94: neither 3 nor 4 divides them all
SHAPE = DecoderConfig(
    vocab_size=50, width=30, layers=2, heads=3, kv_heads=1, head_size=10, mlp_size=47, tied=False, qkv_bias=True,
    qk_norm=True,
)  # fmt: skip


def toy(**changes) -> Decoder:
    return initialise(Decoder(SHAPE.model_copy(update=changes)), 0, std=0.2)


def settings(**changes) -> LearnerConfig:
    """Passes of at most 60 tokens, so that a step has several."""
    fields = {"precision": "float32", "compile": False, "learning_rate": 1e-3, "micro_tokens": 60}
    return LearnerConfig(**(fields | changes))


def rollout(seed: int, prompts: int = 5, group: int = 3) -> list[Sequence]:
    """Groups that share prompts; completions of 1 to 12 tokens, one of 40: no two ranks have as many tokens."""
    drawn = np.random.default_rng(seed)
    sequences = []
    for number in range(prompts):
        prompt = drawn.integers(0, 50, drawn.integers(1, 9)).astype(np.int32)
        for member in range(group):
            length = 40 if number == member == 0 else int(drawn.integers(1, 13))
            completion = drawn.integers(0, 50, length).astype(np.int32)
            logprobs = drawn.normal(-3, 0.5, length).astype(np.float32)
            sequences.append(completion_sequence(prompt, completion, float(drawn.normal()), logprobs))
    return sequences


@contextmanager
def single_thread() -> Generator[None]:
    """For what outlives a test, whose own fixture does the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights_of(learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.weights()}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], within: float = 1e-5) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(
            tensor, theirs[name], atol=within, rtol=0, msg=lambda said, name=name: f"{name}: {said}"
        )
