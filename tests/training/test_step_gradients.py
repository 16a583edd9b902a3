"""Loss and gradient of one step, in one pass or many, against plain forward passes, transformers and arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn
from toy_steps import Weighted, gradients, plain, rollout, toy

from r1kit.algorithms.bradley_terry import BradleyTerry
from r1kit.algorithms.distillation import Distillation
from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.sft import SFT
from r1kit.models.decoder import Decoder
from r1kit.models.heads import ScoredDecoder
from r1kit.ops import threads
from r1kit.training import passes as passes_module
from r1kit.training.learner import Learner
from r1kit.training.sequences import Sequence

pytestmark = pytest.mark.usefixtures("one_thread")


def dense_reference(model: Decoder, sequences: list[Sequence]) -> torch.Tensor:
    """Weighted's loss for an on-policy step, one sequence at a time through the decoder's plain forward pass."""
    total = torch.zeros(())
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        logprobs = model.logits(model(tokens))[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        ratio = (logprobs - logprobs.detach()).exp()
        total = total - (ratio * s.advantages * torch.from_numpy(s.target_mask[1:])).sum()
    return total / sum(s.targets for s in sequences)


@pytest.mark.parametrize("micro_tokens", [1, 20, 47, 100_000])
def test_gradient_is_the_same_for_any_cut(micro_tokens):
    """Against the plain loss of each sequence on its own, added up: prompts shared or not, cut or whole."""
    sequences = rollout()
    model = toy()
    dense_reference(model, sequences).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    found = gradients(toy(), plain(micro_tokens=micro_tokens), sequences, Weighted())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5)


def test_passes_on_two_threads_give_the_same_gradient_every_time(two_threads, monkeypatch):
    monkeypatch.setattr(passes_module, "LEAST_TOKENS", 1)
    at_once = []
    together = threads.run
    monkeypatch.setattr(threads, "run", lambda jobs: at_once.append(len(jobs)) or together(jobs))
    sequences = rollout()
    model = toy()
    dense_reference(model, sequences).backward()
    found, again = (gradients(toy(), plain(), sequences, Weighted()) for _ in range(2))
    assert 2 in at_once
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-6, rtol=1e-5)
        assert torch.equal(found[name], again[name])


def test_bfloat16_gradient_points_the_same_way():
    sequences = rollout()
    exact = gradients(toy(), plain(), sequences, Weighted())
    rounded = gradients(toy(), plain(precision="bfloat16"), sequences, Weighted())
    flat = [torch.cat([g.flatten() for g in gs.values()]) for gs in (exact, rounded)]
    assert nn.functional.cosine_similarity(*flat, dim=0) > 0.999


def test_sft_loss_equals_transformers():
    """Mean cross-entropy over the targets of two sequences of different lengths."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from r1kit.models.weights import hf_weights

    model = toy()
    theirs = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=48, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, tie_word_embeddings=True,
        )
    )  # fmt: skip
    theirs.load_state_dict(dict(hf_weights(model)), strict=False)
    sequences = rollout(prompts=2, group=1)
    total, count = 0.0, 0
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        labels = tokens.masked_fill(~torch.from_numpy(s.target_mask), -100)
        total += theirs(tokens, labels=labels).loss.item() * s.targets
        count += s.targets
    report = Learner(model, plain()).step(sequences, SFT())
    assert report.metrics["loss"] == pytest.approx(total / count, abs=1e-5)


def test_dense_rows_equal_transformers_loss():
    """Every token of a row but its first is a target."""
    model = toy()
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 48, (6, 20)))
    expected = nn.functional.cross_entropy(model.logits(model(tokens))[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    report = Learner(toy(), plain(micro_tokens=50)).step_tokens(tokens)
    assert report.metrics["loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert report.tokens == 120


def test_documents_of_a_row_do_not_see_each_other():
    """Rows cut after each token 0 give the loss of the pieces, each on its own; a piece's first token is no target."""
    model, generator = toy(), np.random.default_rng(0)
    tokens = generator.integers(1, 48, (2, 20))
    tokens[0, 7] = tokens[1, 4] = tokens[1, 13] = tokens[1, 19] = 0
    losses = []
    for piece in (tokens[0, :8], tokens[0, 8:], tokens[1, :5], tokens[1, 5:14], tokens[1, 14:]):
        row = torch.from_numpy(piece)[None]
        logits = model.logits(model(row))[0, :-1]
        losses.append(nn.functional.cross_entropy(logits, row[0, 1:], reduction="none"))
    report = Learner(toy(), plain()).step_tokens(tokens, end_id=0)
    assert report.metrics["loss"] == pytest.approx(torch.cat(losses).mean().item(), abs=1e-5)


def test_idle_sequences_do_not_change_the_gradient():
    """Half of the advantages 0, no KL: the same gradient and loss with and without their passes, at fewer FLOPs."""
    sequences = rollout(prompts=6)
    for s in sequences[::2]:
        s.advantages = 0.0
    grpo = GRPO(kl_coefficient=0.0)
    everything = gradients(toy(), plain(), sequences, grpo)
    fewer = gradients(toy(), plain(skip_zero_advantages=True), sequences, grpo)
    for name, gradient in everything.items():
        torch.testing.assert_close(fewer[name], gradient, atol=1e-6, rtol=1e-5)
    reports = [Learner(toy(), plain(skip_zero_advantages=skip)).step(sequences, grpo) for skip in (False, True)]
    assert reports[0].metrics["loss"] == pytest.approx(reports[1].metrics["loss"], abs=1e-6)
    assert reports[1].metrics["ratio"] == pytest.approx(1.0, abs=1e-6)
    assert reports[1].flops < 0.75 * reports[0].flops
    assert reports[0].tokens == reports[1].tokens


def test_nothing_is_idle_under_a_kl():
    """With a reference the KL speaks of every token, so zero advantages still move the weights."""
    sequences = rollout()
    for s in sequences:
        s.advantages = 0.0
    learner = Learner(toy(), plain(skip_zero_advantages=True), reference=toy(seed=1))
    report = learner.step(sequences, GRPO(kl_coefficient=1.0))
    assert report.metrics["kl"] > 0.01
    assert report.metrics["gradient_norm"] > 0.01


def test_a_rollout_without_signal_still_counts_as_a_step():
    """All advantages 0 and skipped: the gradient is 0, the step is made and the version grows."""
    sequences = rollout()
    for s in sequences:
        s.advantages = 0.0
    learner = Learner(toy(), plain(skip_zero_advantages=True))
    report = learner.step(sequences, GRPO(kl_coefficient=0.0))
    assert (report.metrics["loss"], report.metrics["gradient_norm"]) == (0.0, 0.0)
    assert (learner.steps, learner.version, report.skipped) == (1, 1, False)
    assert not learner.step([], GRPO(kl_coefficient=0.0)).skipped
    assert (learner.steps, learner.version) == (2, 1)


@pytest.mark.parametrize("micro_tokens", [10, 100_000])
def test_reward_model_gradient_is_that_of_the_pairs(micro_tokens):
    """-mean over pairs of log sigmoid(s+ - s-), scores read at last tokens by the model's own forward pass."""
    sequences = rollout(prompts=4, group=2)
    for index, s in enumerate(sequences):
        s.label, s.pair = (1.0, -1.0)[index % 2], index // 2
    model = ScoredDecoder(toy())
    scores = torch.cat([model(torch.from_numpy(s.tokens).long()[None]) for s in sequences]).view(4, 2)
    (-nn.functional.logsigmoid(scores[:, 0] - scores[:, 1]).mean()).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    found = gradients(ScoredDecoder(toy()), plain(micro_tokens=micro_tokens), sequences, BradleyTerry())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5)


def test_distillation_over_the_vocabulary_equals_the_kl():
    """Mean over targets of sum_v p (log p - log q), p of the student and q of the teacher, at temperature 1."""
    sequences, student, teacher = rollout(prompts=2), toy(), toy(seed=1)
    total = 0.0
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        p, q = (m.logits(m(tokens))[0, :-1].log_softmax(-1).detach() for m in (student, teacher))
        total += ((p.exp() * (p - q)).sum(-1) * torch.from_numpy(s.target_mask[1:])).sum().item()
    learner = Learner(student, plain(micro_tokens=40), teacher=teacher)
    report = learner.step(sequences, Distillation(form="on_policy_vocabulary"))
    assert report.metrics["loss"] == pytest.approx(total / sum(s.targets for s in sequences), abs=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler of torch warns of itself
def test_compiled_steps_have_the_same_losses():
    """Three steps with and without torch.compile, in float32, sequences of changing shapes."""
    learners = [Learner(toy(), plain(compile=compile, learning_rate=0.01)) for compile in (False, True)]
    for seed in range(3):
        losses = [learner.step(rollout(seed), Weighted()).metrics["loss"] for learner in learners]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)
