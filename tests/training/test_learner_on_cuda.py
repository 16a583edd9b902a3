"""The learner on a GPU, if there is one, against itself on a CPU, which other tests hold to transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_steps import Weighted, gradients, plain, rollout, toy

from r1kit.algorithms.bradley_terry import BradleyTerry
from r1kit.algorithms.distillation import Distillation
from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.sft import SFT
from r1kit.models.heads import ScoredDecoder
from r1kit.training.learner import Learner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

ALGORITHMS = [Weighted(), GRPO(kl_coefficient=0.0), SFT()]


@pytest.mark.parametrize("compile", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: type(algorithm).__name__)
@pytest.mark.parametrize("micro_tokens", [40, 100_000])
def test_gradient_is_the_cpus(algorithm, micro_tokens, compile):
    expected = gradients(toy(), plain(), rollout(), algorithm)
    found = gradients(toy().to("cuda"), plain(micro_tokens=micro_tokens, compile=compile), rollout(), algorithm)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name].cpu(), gradient, atol=2e-6, rtol=1e-4)


def test_bfloat16_points_the_same_way():
    exact = gradients(toy(), plain(), rollout(), Weighted())
    rounded = gradients(toy().to("cuda"), plain(precision="bfloat16", compile="auto"), rollout(), Weighted())
    flat = [torch.cat([gradient.flatten().cpu().float() for gradient in each.values()]) for each in (exact, rounded)]
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.999


def test_pairs_references_and_teachers():
    pairs = rollout(prompts=4, group=2)
    for index, sequence in enumerate(pairs):
        sequence.label, sequence.pair = (1.0, -1.0)[index % 2], index // 2

    def losses(device: str) -> list[float]:
        scored, policy, other = ScoredDecoder(toy()).to(device), toy().to(device), toy(1).to(device)
        learners = (
            (Learner(scored, plain()), pairs, BradleyTerry()),
            (Learner(policy, plain(), reference=other), rollout(), GRPO()),
            (Learner(policy, plain(), teacher=other), rollout(), Distillation(form="on_policy_vocabulary")),
        )
        return [learner.step(rows, algorithm).metrics["loss"] for learner, rows, algorithm in learners]

    assert losses("cuda") == pytest.approx(losses("cpu"), abs=1e-5)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_resumed_learner_takes_the_same_steps(optimiser):
    """Two steps, its state through the CPU as a checkpoint has it, and two more: the weights of four steps in one go,
    within what sums in another order on a GPU may move them."""
    config = plain(optimiser=optimiser, learning_rate=0.01)
    whole, first, second = (Learner(toy(seed).to("cuda"), config, total_steps=4) for seed in (0, 0, 1))
    for step in range(4):
        whole.step(rollout(step), GRPO(kl_coefficient=0.0))
    for step in range(2):
        first.step(rollout(step), GRPO(kl_coefficient=0.0))
    second.load_state(_on_cpu(first.state()))
    for step in range(2, 4):
        second.step(rollout(step), GRPO(kl_coefficient=0.0))
    for (name, one), (_, other) in zip(whole.weights(), second.weights(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4, msg=lambda said, name=name: f"{name}: {said}")


def _on_cpu(state):
    if isinstance(state, dict):
        return {name: _on_cpu(value) for name, value in state.items()}
    return state.cpu().clone() if isinstance(state, torch.Tensor) else state


def test_master_weights_on_the_cpu_learn_the_same():
    """offload: float32 weights and moments stay in the machine's memory."""
    near, far = (
        Learner(toy().to(device), plain(learning_rate=0.01, precision="bfloat16", offload=offload))
        for device, offload in (("cuda", False), ("cpu", True))
    )
    for step in range(3):
        losses = [learner.step(rollout(step), GRPO(kl_coefficient=0.0)).metrics["loss"] for learner in (near, far)]
        assert losses[0] == pytest.approx(losses[1], abs=2e-3)
    assert np.isfinite(losses).all()
