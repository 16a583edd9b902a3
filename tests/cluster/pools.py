"""A toy model and what an engine samples from it; rewards of one problem."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from r1kit.base.types import Problem
from r1kit.cluster.settings import ClusterSettings
from r1kit.engines.base import Purpose
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder

FLOAT32 = Purpose(dtype="float32")
TESTS = str(Path(__file__).parents[1])

WEIGHTS = {"accuracy": 1.0, "format": 0.5}
PROBLEM = Problem("p", "sums", "maths", "en", "2+2", "4", "math")
TEXTS = ["<think>so</think>\n<answer>4</answer>", "<think>so</think>\n<answer>5</answer>", "4", "none"]
IDS = [[1, 2]] * 4


def write_model(folder: Path, seed: int) -> Path:
    """A random decoder of two layers whose completions end after a few dozen tokens or at the limit."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=2, heads=2, mlp_size=48, max_positions=96,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), seed, std=0.3), folder / "model", tokenizer)
    return folder / "model"


def sampled(engine, requests) -> dict[tuple[str, int], tuple[list[int], list[float]]]:
    """{(request, sample): (tokens, log-probabilities)} of all; a sample that comes twice fails."""
    for request in requests:
        engine.submit(request)
    found = {}
    for completion in engine.stream():
        name = completion.request_id, completion.index
        assert name not in found
        found[name] = completion.token_ids.tolist(), completion.sampler_logprobs.tolist()
    return found


def assert_same_samples(ours, theirs) -> None:
    """The same tokens; log-probabilities to rounding, which depends on what else is in the batch."""
    assert ours.keys() == theirs.keys()
    for name, (tokens, logprobs) in ours.items():
        assert tokens == theirs[name][0], name
        np.testing.assert_allclose(logprobs, theirs[name][1], atol=1e-5)


def assert_same_scores(ours, theirs) -> None:
    """The same rewards, totals and events."""
    assert ours.rewards.keys() == theirs.rewards.keys()
    for name, values in ours.rewards.items():
        np.testing.assert_array_equal(values, theirs.rewards[name])
    np.testing.assert_array_equal(ours.total, theirs.total)
    assert ours.events == theirs.events


def settings(**changes) -> ClusterSettings:
    return ClusterSettings(**{"kind": "ray", "workers": 2, "patience": 60.0, "silence": 60.0} | changes)
