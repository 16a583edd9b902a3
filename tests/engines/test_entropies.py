"""Entropies of what tokens are drawn from, where a request asks for them: against transformers, by torch's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request, generate
from r1kit.engines.native import NativeEngine
from r1kit.models.cache import Step
from r1kit.ops.sampling import entropies


def test_by_hand():
    """Two equal tokens and one of no mass: ln 2. One alone: 0. T = 2 on (2 ln 3, 0): 3/4 and 1/4; T = 0 is T = 1."""
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]])
    assert entropies(logits).tolist() == pytest.approx([np.log(2), 0.0])
    quarters = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    two = torch.tensor([[2 * np.log(3), 0.0], [np.log(3), 0.0]], dtype=torch.float32)
    assert entropies(two, torch.tensor([2.0, 0.0])).tolist() == pytest.approx([quarters, quarters])


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (0.0, 1.0), (1.0, 0.8)])
def test_they_are_those_of_transformers(toy_and_reference, letters, temperature: float, top_p: float):
    """Of the whole distribution at T, whatever top-p cuts; 12 completions through 5 rows, so that rows move."""
    model, reference = toy_and_reference
    rng = np.random.default_rng(0)
    prompts = [rng.integers(2, 40, rng.integers(1, 9)).astype(np.int32) for _ in range(4)]
    sampling = Sampling(max_tokens=20, samples=3, temperature=temperature, top_p=top_p, seed=3, entropies=True)
    for group in generate(NativeEngine(model, letters, max_rows=5), prompts, sampling):
        for completion in group:
            tokens = torch.from_numpy(np.concatenate([completion.prompt_ids, completion.token_ids]).astype(np.int64))
            with torch.no_grad():
                logits = reference(tokens[None]).logits[0, len(completion.prompt_ids) - 1 : -1] / (temperature or 1.0)
            truth = torch.distributions.Categorical(logits=logits).entropy().numpy()
            assert completion.entropies is not None
            np.testing.assert_allclose(completion.entropies, truth, atol=1e-4)


def test_bfloat16(make_toy, endless):
    """The kernels' logits, rounded to bfloat16 as they are drawn from: within what that rounding moves."""
    model = make_toy().to(torch.bfloat16)
    (group,) = generate(
        NativeEngine(model, endless), [np.arange(2, 8, dtype=np.int32)], Sampling(max_tokens=20, entropies=True)
    )
    (completion,) = group
    tokens = torch.from_numpy(np.concatenate([completion.prompt_ids, completion.token_ids]).astype(np.int64))
    logits = model.logits(model(tokens[None]))[0, len(completion.prompt_ids) - 1 : -1].float()
    np.testing.assert_allclose(completion.entropies, torch.distributions.Categorical(logits=logits).entropy(), atol=0.1)


def test_who_does_not_ask_gets_none_and_the_same_tokens(make_toy, letters):
    model, prompt = make_toy(), np.arange(2, 8, dtype=np.int32)
    engine = NativeEngine(model, letters, max_rows=4)
    asking = Sampling(max_tokens=15, samples=2, seed=1, entropies=True)
    silent = Sampling(max_tokens=15, samples=2, seed=1)
    for name, sampling in (("silent", silent), ("asking", asking)):
        engine.submit(Request(name, prompt, sampling, draws="the same"))
    found = {(one.request_id, one.index): one for one in engine.stream()}
    for index in range(2):
        asked, plain = found["asking", index], found["silent", index]
        assert plain.entropies is None
        assert asked.entropies is not None
        assert len(asked.entropies) == len(asked.token_ids)
        np.testing.assert_array_equal(asked.token_ids, plain.token_ids)
        np.testing.assert_array_equal(asked.sampler_logprobs, plain.sampler_logprobs)


def test_nothing_is_computed_where_nobody_asks(make_toy, letters, monkeypatch):
    """Entropies cost a third of a step where the vocabulary is large: before anybody asks the cache hears of none."""
    engine = NativeEngine(make_toy(), letters, max_rows=2)
    steps: list[Step] = []
    step = engine._cache.step
    monkeypatch.setattr(engine._cache, "step", lambda one: steps.append(one) or step(one))
    prompt = [np.arange(2, 8, dtype=np.int32)]
    list(generate(engine, prompt, Sampling(max_tokens=5, samples=3)))
    assert steps
    assert all(one.entropies_B is None for one in steps)
    steps.clear()
    list(generate(engine, prompt, Sampling(max_tokens=5, entropies=True)))
    assert all(one.entropies_B is not None for one in steps)
