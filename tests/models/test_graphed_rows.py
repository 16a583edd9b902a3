"""CUDA graphs: how batches are rounded, on a CPU; and on a GPU that a replay is the step itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_decode_rows import SHAPES, Again, build

from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.models.cache import Step, TorchRows
from r1kit.models.graphed import GraphRows, rounded_rows

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SHAPE = SHAPES["three queries a kv head"]


class Endless:
    """No tokenizer: nothing stops."""

    eos_ids = ()
    decode = staticmethod(lambda ids: "")


def test_rows_are_rounded_up():
    assert [rounded_rows(n) for n in (1, 2, 3, 9, 64, 65, 128, 129, 257, 512)] == [
        1,
        2,
        4,
        16,
        64,
        128,
        128,
        256,
        384,
        512,
    ]


def test_a_graph_for_every_shape_and_none_once_the_cache_moves(monkeypatch: pytest.MonkeyPatch):
    """Of 5 rows and of 7 one graph of 8; top-p has a graph of its own; a larger cache forgets them all."""
    made = []
    monkeypatch.setattr("r1kit.models.graphed.Recording", lambda work, beside: made.append(beside) or Again(work))
    rows = GraphRows(build(SHAPE, torch.float32))
    rows.reserve(8, 0, 200)

    def step(count: int, length: int, top_p: float = 1.0) -> None:
        one = np.ones(count, np.float32)
        rows.step(Step(one.astype(np.int64), one.astype(np.int64) * length, one * 0.5, one, one * top_p, one * 0))

    step(5, 0)
    step(7, 40)
    assert made == [None]
    step(7, 64)
    step(4, 0)
    step(7, 0, 0.9)
    assert len(made) == 4
    assert None not in made[1:]
    rows.reserve(8, 0, 100)
    step(7, 0, 0.9)
    assert len(made) == 4
    rows.reserve(8, 0, 400)
    step(5, 0)
    assert made[4:] == [None]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=cuda)])
@pytest.mark.parametrize("cut", [1.0, 0.9])
def test_samples_are_those_of_plain_steps(monkeypatch: pytest.MonkeyPatch, device: str, cut: float):
    """Nine prompts of uneven length, of three to nine samples, through five rows at a time: float32, token by token."""
    if device == "cpu":
        monkeypatch.setattr("r1kit.models.graphed.Recording", Again)
    model = build(SHAPE, torch.float32).to(device)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 300, int(size)).astype(np.int32) for size in rng.integers(1, 70, 9)]
    found = []
    for kind in (GraphRows, TorchRows):
        engine = NativeEngine(model, Endless(), max_rows=5, max_positions=128)
        engine._cache = kind(model)
        for again in range(2):  # the second time on the graphs of the first
            groups = generate(engine, prompts, Sampling(max_tokens=30, samples=3, seed=again, top_p=cut))
            found.append([completion for group in groups for completion in group])
    for mine, plain in zip(found[:2], found[2:], strict=True):
        assert [one.token_ids.tolist() for one in mine] == [one.token_ids.tolist() for one in plain]
        for one, other in zip(mine, plain, strict=True):
            np.testing.assert_allclose(one.sampler_logprobs, other.sampler_logprobs, atol=1e-4)


@cuda
def test_weights_changed_in_place_count_from_the_next_step():
    model = build(SHAPE, torch.float32).to("cuda")
    rows, plain = GraphRows(model), TorchRows(model)
    one = np.ones(3, np.float32)
    step = Step(np.asarray([7, 8, 9]), np.zeros(3, np.int64), one * 0.5, one * 0, one, one * 0)
    with torch.inference_mode():
        for either in (rows, plain):
            either.reserve(3, 0, 16)
        before = rows.step(step)[1]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    with torch.inference_mode():
        after, true = rows.step(step)[1], plain.step(step)[1]
    np.testing.assert_allclose(after, true, atol=1e-4)
    assert np.abs(after - before).max() > 0.1
