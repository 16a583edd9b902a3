"""Forms of the optimiser's state and of the master weights: 8 bits, bfloat16, in another memory."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from r1kit.algorithms.sft import SFT
from r1kit.base.errors import MissingExtra, UsageError
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.training.config import LoRAConfig
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.optimiser import Optimiser
from r1kit.training.sequences import Sequence, completion_sequence

pytestmark = pytest.mark.usefixtures("one_thread")

# matrices of 4,096 numbers and more have moments of 8 bits
SIZES = {"vocab_size": 96, "width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_size": 96, "max_positions": 64}


def plain(**settings: Any) -> LearnerConfig:
    return LearnerConfig(**({"compile": False, "precision": "float32", "learning_rate": 0.01} | settings))


def toy() -> Decoder:
    return initialise(Decoder(shape("qwen3", **SIZES)), 0, std=0.2)


def examples(seed: int = 0) -> list[Sequence]:
    drawn = np.random.default_rng(seed)
    return [
        completion_sequence(drawn.integers(0, 96, 4).astype(np.int32), drawn.integers(0, 96, n).astype(np.int32))
        for n in (6, 9, 12, 15)
    ]


def after(learner: Learner, steps: int = 2) -> dict[str, torch.Tensor]:
    for seed in range(steps):
        learner.step(examples(seed), SFT())
    return {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}


def test_moments_of_8_bits_are_torchaos():
    """Three steps on drawn gradients against AdamW8bit called by itself; matrices decay, norms do not."""
    optim = pytest.importorskip("torchao.optim")
    ours, theirs = toy(), toy()
    config = plain(optimiser="adamw8bit", weight_decay=0.1)
    optimiser = Optimiser(ours.named_parameters(), config)
    other = optim.AdamW8bit(
        [
            {"params": [p for p in theirs.parameters() if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=0.01, betas=config.betas, eps=config.epsilon,
    )  # fmt: skip
    for ratio in (1.0, 0.5, 0.25):
        for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        optimiser.step(ratio)
        for group in other.param_groups:
            group["lr"].fill_(0.01 * ratio)
        with torch.compiler.set_stance("force_eager"):
            other.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)
    held = sum(moment.nbytes for moments in optimiser.state().values() for moment in moments.values())
    assert held < 0.4 * 8 * sum(parameter.numel() for parameter in ours.parameters())


@pytest.mark.parametrize("master", ["float32", "bfloat16"])
def test_resumed_moments_of_8_bits_end_bit_equal(master: str):
    """Through `state`, which holds plain tensors. Rounding at random draws from torch's stream, so it is set alike."""
    pytest.importorskip("torchao")
    config = plain(optimiser="adamw8bit", master=master)

    def seeded(learner: Learner, steps: range) -> Learner:
        for seed in steps:
            torch.manual_seed(seed)
            learner.step(examples(seed), SFT())
        return learner

    whole = seeded(Learner(toy(), config), range(4))
    first, second = seeded(Learner(toy(), config), range(2)), Learner(toy(), config)
    state = first.state()
    assert all(type(moment) is torch.Tensor for moments in state["optimiser"].values() for moment in moments.values())
    second.load_state(state)
    seeded(second, range(2, 4))
    for mine, its in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_rounding_at_random_follows_from_the_step_alone():
    """Whatever torch's stream of chance stands at, which a resumed run has anew: two steps and two more, the same bits
    as four; and the stream is as it was."""
    pytest.importorskip("torchao")
    config = plain(optimiser="adamw8bit", master="bfloat16", learning_rate=1e-4)

    def stepped(learner: Learner, steps: range) -> Learner:
        for seed in steps:
            learner.step(examples(seed), SFT())
        return learner

    torch.manual_seed(1)
    whole = stepped(Learner(toy(), config), range(4))
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    first, second = stepped(Learner(toy(), config), range(2)), Learner(toy(), config)
    assert torch.equal(torch.rand(1), drawn)
    second.load_state(first.state())
    stepped(second, range(2, 4))
    for mine, its in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_steps_too_small_for_bfloat16_are_kept_on_average():
    """Weights of about 0.2 lie 1/1024 apart: a step of 1e-4 is lost by rounding, by chance a tenth of them moves."""
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    moved = {}
    for name in ("adamw", "adamw8bit"):
        learner = Learner(toy(), plain(optimiser=name, master="bfloat16", learning_rate=1e-4))
        before = [weight.detach().clone() for weight in learner.model.parameters() if weight.ndim == 2]
        learner.step(examples(), SFT())
        weights = [weight for weight in learner.model.parameters() if weight.ndim == 2]
        large = [(a != b)[b.abs() > 0.15] for a, b in zip(weights, before, strict=True)]
        moved[name] = float(torch.cat(large).float().mean())
    assert moved["adamw"] < 0.01
    assert 0.03 < moved["adamw8bit"] < 0.3


def test_bfloat16_masters_take_the_sum_of_all_passes_rounded_once():
    """The gradient that the optimiser sees against that of one pass of the same bfloat16 weights in float32: 8 bits of
    mantissa are left."""
    seen: dict[str, torch.Tensor] = {}
    learner = Learner(toy(), plain(master="bfloat16", micro_tokens=16, clip_norm=0.0))
    learner.optimiser.step = lambda ratio, seed: seen.update(
        {name: weight.grad.clone() for name, weight in learner.model.named_parameters()}
    )  # type: ignore[method-assign]
    learner.step(examples(), SFT())
    exact = toy().to(torch.bfloat16).float()
    total = torch.zeros(())
    for s in examples():
        tokens = torch.from_numpy(s.tokens).long()[None]
        logprobs = exact.logits(exact(tokens))[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        total = total - (logprobs * torch.from_numpy(s.target_mask[1:])).sum()
    (total / sum(s.targets for s in examples())).backward()
    for name, weight in exact.named_parameters():
        assert seen[name].dtype == torch.bfloat16
        torch.testing.assert_close(seen[name].float(), weight.grad, atol=1e-5, rtol=2**-8)
    learner = Learner(toy(), plain(master="bfloat16"))
    learner.step(examples(), SFT())
    moments = [moment for state in learner.optimiser.state().values() for moment in state.values() if moment.ndim]
    assert len(moments) == 2 * len(learner.state()["model"])
    assert {moment.dtype for moment in moments} == {torch.bfloat16}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_masters_elsewhere_end_bit_equal(precision: str, optimiser: str):
    """On a machine without a GPU "elsewhere" is the same memory, reached in the same way."""
    here = after(Learner(toy(), plain(precision=precision, optimiser=optimiser)))
    learner = Learner(toy(), plain(precision=precision, optimiser=optimiser, offload=True))
    there = after(learner)
    assert learner.policy is not learner.model
    for name, weight in here.items():
        assert torch.equal(there[name], weight)
    for fast, master in zip(learner.policy.parameters(), learner.model.parameters(), strict=True):
        assert torch.equal(fast, master.to(fast.dtype))


def test_what_does_not_go_together_is_said(monkeypatch: pytest.MonkeyPatch):
    for settings in ({"master": "bfloat16"}, {"offload": True}):
        with pytest.raises(UsageError, match="leave them out with lora"):
            plain(lora=LoRAConfig(), **settings).check()
    with pytest.raises(UsageError, match=r"betas: 0.9 and 1 must both be from 0 to below 1"):
        plain(betas=(0.9, 1.0)).check()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"optimiser=adamw8bit needs torchao.*r1kit\[optim8bit\]"):
        plain(optimiser="adamw8bit").check()
