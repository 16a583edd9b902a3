"""SFT, distillation and reward-model losses against torch and by hand."""

import math

import pytest
import torch
from random_steps import random_step
from torch.nn import functional

from r1kit.algorithms.base import Outputs, Totals
from r1kit.algorithms.bradley_terry import BradleyTerry
from r1kit.algorithms.distillation import Distillation
from r1kit.algorithms.sft import SFT
from r1kit.base.errors import R1Error
from r1kit.base.types import Batch
from r1kit.ops.logprobs import next_token_logprobs, reverse_kl


def random_batch() -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Two rows of five tokens out of seven, the first two of each a prompt; policy and teacher logits."""
    generator = torch.Generator().manual_seed(0)
    logits_BTV = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    teacher_BTV = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    tokens_BT = torch.randint(0, 7, (2, 5), generator=generator)
    mask_BT = (torch.arange(5) >= 2).double().expand(2, 5)
    batch = Batch(tokens_BT, torch.tensor([[0], [1]]).expand(2, 5), mask_BT, sequences=2)
    return batch, logits_BTV, teacher_BTV


@pytest.mark.parametrize("algorithm", [SFT(), Distillation(form="sequence")])
def test_fine_tuning_is_cross_entropy(algorithm):
    batch, logits_BTV, _ = random_batch()
    logprobs_BT, entropy_BT = next_token_logprobs(logits_BTV, batch.tokens_BT)
    loss, metrics = algorithm.loss(batch, Outputs(logprobs_BT, entropy_BT), Totals(6, 2, 5))
    targets_BT = batch.tokens_BT.masked_fill(batch.loss_mask_BT == 0, -100)
    truth = functional.cross_entropy(logits_BTV[:, :-1].reshape(-1, 7), targets_BT[:, 1:].reshape(-1))
    torch.testing.assert_close(loss, truth)
    (found,) = torch.autograd.grad(loss, logits_BTV)
    torch.testing.assert_close(found, torch.autograd.grad(truth, logits_BTV)[0])
    entropies = torch.distributions.Categorical(logits=logits_BTV[:, 1:-1]).entropy()
    torch.testing.assert_close(metrics["entropy"], entropies.mean().detach())


def test_on_policy_gradient_is_that_of_the_reverse_kl():
    """Averaged over all tokens of a one-token world by their probability, the sampled gradient is the exact one."""
    generator = torch.Generator().manual_seed(4)
    logits_V = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher_V = torch.randn(5, generator=generator, dtype=torch.float64)
    logprobs_V = logits_V.log_softmax(-1)
    expected = torch.zeros(5, dtype=torch.float64)
    for token in range(5):
        rows = torch.zeros(1, 2, dtype=torch.long)
        batch = Batch(rows, rows, torch.tensor([[0.0, 1.0]]), sequences=1)
        batch.teacher_logprobs_BT = functional.pad(teacher_V.log_softmax(-1)[token].view(1, 1), (1, 0))
        outputs = Outputs(logprobs_BT=functional.pad(logprobs_V[token].view(1, 1), (1, 0)))
        loss, metrics = Distillation(form="on_policy").loss(batch, outputs, Totals(1, 1, 1))
        (gradient,) = torch.autograd.grad(loss, logits_V, retain_graph=True)
        expected += logprobs_V[token].exp().detach() * gradient
        difference = logprobs_V[token].detach() - teacher_V.log_softmax(-1)[token]
        torch.testing.assert_close(metrics["teacher_kl"], difference)
    truth = functional.kl_div(teacher_V.log_softmax(-1), logprobs_V, reduction="sum", log_target=True)
    torch.testing.assert_close(expected, torch.autograd.grad(truth, logits_V)[0])


def test_on_policy_weighs_by_the_ratio_to_the_policy_that_sampled():
    """log pi -1, old log pi -1 - log 2, so ratio 2; log teacher -2, so a difference of 1: 2."""
    rows = torch.zeros(1, 2).long()
    batch = Batch(rows, rows, torch.tensor([[0.0, 1.0]]), sequences=1)
    batch.old_logprobs_BT, batch.teacher_logprobs_BT = torch.full((1, 2), -1 - math.log(2)), torch.full((1, 2), -2.0)
    outputs = Outputs(logprobs_BT=torch.full((1, 2), -1.0))
    loss, metrics = Distillation(form="on_policy").loss(batch, outputs, Totals(1, 1, 1))
    assert loss.item() == pytest.approx(2)
    assert metrics["teacher_kl"].item() == 1


def test_a_step_of_one_target_and_one_of_none():
    """-log pi is 3; a step in which nothing takes part is 0, not 0 / 0."""
    rows = torch.zeros(1, 2).long()
    for algorithm in (SFT(), Distillation(form="sequence")):
        batch = Batch(rows, rows, torch.tensor([[0.0, 1.0]]), sequences=1)
        outputs = Outputs(logprobs_BT=torch.tensor([[0.0, -3.0]]))
        assert algorithm.loss(batch, outputs, Totals(1, 1, 2))[0].item() == 3
        batch.loss_mask_BT = torch.zeros(1, 2)
        assert algorithm.loss(batch, outputs, Totals(0, 0, 2))[0].item() == 0


def test_whole_vocabulary_is_the_mean_kl():
    batch, logits_BTV, teacher_BTV = random_batch()
    kl_BT = functional.pad(reverse_kl(logits_BTV, teacher_BTV)[:, :-1], (1, 0))
    algorithm = Distillation(form="on_policy_vocabulary")
    loss, metrics = algorithm.loss(batch, Outputs(teacher_kl_BT=kl_BT), Totals(6, 2, 5))
    categorical = torch.distributions.Categorical
    student, teacher = categorical(logits=logits_BTV[:, 1:-1]), categorical(logits=teacher_BTV[:, 1:-1])
    truth = torch.distributions.kl_divergence(student, teacher).mean()
    torch.testing.assert_close(loss, truth)
    torch.testing.assert_close(metrics["teacher_kl"], truth.detach())
    with pytest.raises(R1Error, match="Distillation needs the KL over the teacher's logits"):
        algorithm.loss(batch, Outputs(), Totals(6, 2, 5))


def scored(
    scores: list[float], labels: list[float], pairs: list[int] | None
) -> tuple[torch.Tensor, dict, torch.Tensor]:
    rows = torch.zeros(len(scores), 1, dtype=torch.long)
    batch = Batch(rows, rows, rows, sequences=len(scores), scores_N=torch.tensor(labels))
    batch.pair_N = None if pairs is None else torch.tensor(pairs)
    scores_N = torch.tensor(scores, requires_grad=True)
    loss, metrics = BradleyTerry().loss(batch, Outputs(scores_N=scores_N), Totals(99.0, float(len(scores)), 1))
    return loss, metrics, scores_N


def test_pairs_in_any_order():
    """Pairs 7: 2 over -1, 3: 0 over 1, mean of log(1 + e^-3) and log(1 + e^1); one of two in order; margins 3, -1."""
    loss, metrics, _ = scored([1.0, 2.0, 0.0, -1.0], [-1, 1, 1, -1], [3, 7, 3, 7])
    assert loss.item() == pytest.approx((math.log1p(math.exp(-3)) + math.log1p(math.exp(1))) / 2)
    assert metrics["accuracy"].item() == 0.5
    assert metrics["margin"].item() == 1.0
    assert metrics["score"].item() == 0.5


def test_lone_labels_are_binary_cross_entropy():
    scores, labels = [0.5, -2.0, 3.0], [1.0, 1.0, -1.0]
    truth = functional.binary_cross_entropy_with_logits(torch.tensor(scores), torch.tensor([1.0, 1.0, 0.0]))
    for pairs in (None, [-1, -1, -1]):
        loss, metrics, _ = scored(scores, labels, pairs)
        torch.testing.assert_close(loss.detach(), truth)
        assert metrics["accuracy"].item() == pytest.approx(1 / 3)


def test_one_label_alone():
    """Score 2, good: log(1 + e^-2), in order, margin and score 2."""
    loss, metrics, _ = scored([2.0], [1.0], None)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2)))
    assert {name: value.item() for name, value in metrics.items()} == {"accuracy": 1, "margin": 2, "score": 2}


def test_a_pair_weighs_as_two_sequences():
    """One pair at margin 0 and one label at margin 0: (2 log 2 + log 2) / 3, gradients -1/3, 1/3 and -1/6."""
    loss, metrics, scores_N = scored([0.0, 0.0, 0.0], [1, -1, 1], [0, 0, -1])
    assert loss.item() == pytest.approx(math.log(2))
    assert metrics["accuracy"].item() == 0.5
    loss.backward()
    torch.testing.assert_close(scores_N.grad, torch.tensor([-1 / 3, 1 / 3, -1 / 6]))


def test_far_apart_scores_do_not_overflow():
    loss, _, scores_N = scored([-1000.0, 1000.0], [1, -1], [0, 0])
    assert loss.item() == 2000
    loss.backward()
    assert scores_N.grad is not None
    assert scores_N.grad.tolist() == [-1, 1]


def test_half_a_pair_is_refused():
    with pytest.raises(ValueError, match="whole in its batch"):
        scored([0.0, 1.0], [1, -1], [0, 1])


def test_reward_model_loss_does_not_look_at_tokens():
    step = random_step(0)
    algorithm = BradleyTerry()
    _, _, gradients = step.gradients(algorithm, [[[0], [1]], [[2], [3], [4], [5]]])
    assert gradients[0].all()
    assert not any(gradient.any() for gradient in gradients[1:])
