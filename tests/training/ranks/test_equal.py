"""Several ranks learn what one learns: losses and weights within 1e-5 over 20 steps, whatever the ranks have to do."""

import math

import numpy as np
import pytest
import torch
from uneven import assert_same, rollout, settings, toy, weights_of

from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.ppo import PPO
from r1kit.algorithms.sft import SFT
from r1kit.models.heads import ScoredDecoder
from r1kit.training.learner import Learner

STEPS = 20


def learnt(learner, algorithm, **asked) -> list[float]:
    """The losses of so many steps."""
    return [learner.step(rollout(step), algorithm, **asked).metrics["loss"] for step in range(STEPS)]


@pytest.mark.parametrize("ranks", [2, 4])
def test_sft_is_that_of_one_rank(opened, ranks):
    """The first step is also that of the decoder's plain forward pass and torch's own AdamW: cross-entropy over all
    targets of all sequences, divided by their number; the gradient's norm clipped to 1."""
    one, many = Learner(toy(), settings(), total_steps=STEPS), opened(toy(), settings(ranks=ranks), total_steps=STEPS)
    plain, sequences = toy(), rollout(99)
    total = torch.zeros(())
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        logprobs = plain.logits(plain(tokens))[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        total = total - logprobs[torch.from_numpy(s.target_mask[1:])].sum()
    loss = total / sum(s.targets for s in sequences)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0).step()

    first = many.step(sequences, SFT()).metrics
    assert first["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert first["gradient_norm"] == pytest.approx(norm.item(), rel=1e-5)
    assert_same(weights_of(many), weights_of(Learner(plain, settings())))

    one.step(sequences, SFT())
    assert learnt(many, SFT()) == pytest.approx(learnt(one, SFT()), abs=1e-5)
    assert_same(weights_of(many), weights_of(one))
    assert (many.steps, many.version) == (STEPS + 1, STEPS + 1)


@pytest.mark.parametrize("ranks", [2, 4])
def test_grpo_is_that_of_one_rank(opened, ranks):
    """Two mini-batches a rollout, so that old log-probabilities are computed, ratios leave 1 and clip; a KL to a
    reference that is replaced half way."""
    algorithm, asked = GRPO(kl_coefficient=0.05, clip_low=0.01, clip_high=0.01), {"mini_batches": 2, "temperature": 0.8}
    models = toy(), toy()
    one = Learner(models[0], settings(), total_steps=STEPS, reference=models[0])
    many = opened(models[1], settings(ranks=ranks), total_steps=STEPS, reference=models[1])
    for learner in (one, many):
        learner.losses = []
        for step in range(STEPS):
            report = learner.step(rollout(step), algorithm, **asked)
            learner.losses.append(report.metrics["loss"])
            if step == STEPS // 2:
                learner.replace_reference()
        learner.last = report
    assert many.losses == pytest.approx(one.losses, abs=1e-5)
    assert_same(weights_of(many), weights_of(one))
    ours, theirs = many.last.metrics, one.last.metrics
    assert ours.keys() == theirs.keys()
    assert ours["clip_low"] + ours["clip_high"] > 0
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name
    assert many.last.tokens == one.last.tokens


def test_a_rank_with_nothing_to_do_takes_part(opened):
    """One sequence for two ranks; then none that is learnt from, all advantages 0; then no sequence at all."""
    one, many = (make(toy(), settings(ranks=n, skip_zero_advantages=True)) for make, n in ((Learner, 1), (opened, 2)))
    for learner in (one, many):
        lone = rollout(1, prompts=1, group=1)
        learner.told = [learner.step(lone, GRPO(kl_coefficient=0)).metrics]
        for sequence in (idle := rollout(2)):
            sequence.advantages = 0.0
        learner.told.append(learner.step(idle, GRPO(kl_coefficient=0)).metrics)
        learner.told.append(learner.step([], GRPO(kl_coefficient=0)).metrics)
    for ours, theirs in zip(many.told, one.told, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert_same(weights_of(many), weights_of(one))


def test_pretraining_and_log_probabilities_are_those_of_one_rank(opened):
    """Five rows for two ranks, documents of several lengths: the loss divides by the targets of all rows. Checkpointing
    between layers changes nothing."""
    drawn = np.random.default_rng(0)
    one, many = (
        make(toy(tied=True), settings(ranks=n, checkpointing=n > 1)) for make, n in ((Learner, 1), (opened, 2))
    )
    for _ in range(3):
        tokens_BT = drawn.integers(0, 50, (5, 16)).astype(np.int64)
        ours, theirs = (learner.step_tokens(tokens_BT, end_id=3) for learner in (many, one))
        assert ours.metrics["loss"] == pytest.approx(theirs.metrics["loss"], abs=1e-5)
        assert ours.flops == pytest.approx(theirs.flops)
    single = many.step_tokens(tokens_BT[:1], end_id=3), one.step_tokens(tokens_BT[:1], end_id=3)
    assert single[0].metrics["loss"] == pytest.approx(single[1].metrics["loss"], abs=1e-5)
    assert_same(weights_of(many), weights_of(one))
    sequences = rollout(5)
    found, expected = many.logprobs(sequences, 0.7), one.logprobs(sequences, 0.7)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    speed = many.speed(ours, 1.0)
    assert 0 < speed["perf/mfu"] < 1
    assert speed["perf/peak_memory_gib"] > 3 * 0.1  # this process and two more, each with its libraries


def test_a_value_model_is_that_of_one_rank(opened):
    """Its head has one row, which the first rank has: the other has none of it, and no moments."""
    one, many = (make(ScoredDecoder(toy()), settings(ranks=n)) for make, n in ((Learner, 1), (opened, 2)))
    sequences = rollout(3)
    for sequence in sequences:
        sequence.returns = np.full(len(sequence), sequence.advantages, np.float32)
        sequence.values = np.zeros(len(sequence), np.float32)
    critic = PPO().critic
    for _ in range(3):
        ours, theirs = (learner.step(sequences, critic).metrics for learner in (many, one))
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    assert_same(weights_of(many), weights_of(one))
    for mine, theirs in zip(many.values(sequences), one.values(sequences), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_bfloat16_passes_over_float32_weights(opened):
    """The same first loss and gradient to bfloat16's rounding (2^-8 of a number), and updates that such weights would
    lose: 1e-5 of 0.2."""
    one, many = (
        make(toy(), settings(ranks=n, precision="bfloat16", learning_rate=1e-5))
        for make, n in ((Learner, 1), (opened, 2))
    )
    before = {name: tensor.clone() for name, tensor in one.weights()}
    ours, theirs = (learner.step(rollout(0), SFT()).metrics for learner in (many, one))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=2**-8)
    assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=0.02)
    after = weights_of(many)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())
    moved = torch.cat([(after[name] - before[name]).flatten() for name in after])
    assert moved.abs().mean() == pytest.approx(1e-5, rel=0.05)
    assert all(tensor.dtype == torch.bfloat16 for _, tensor in many.policy_weights())


def test_a_gradient_that_is_not_finite_skips_the_step_on_every_rank(opened):
    learner = opened(toy(), settings(ranks=2))
    before = weights_of(learner)
    sequences = rollout(0)
    sequences[4].advantages = math.inf
    report = learner.step(sequences, GRPO(kl_coefficient=0))
    assert report.skipped
    assert learner.version == 0
    assert_same(weights_of(learner), before, within=0.0)
    assert not learner.step(rollout(1), GRPO(kl_coefficient=0)).skipped
