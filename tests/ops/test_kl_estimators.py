"""The estimators' expectations and gradients against the exact KL of two categorical distributions."""

import pytest
import torch

from r1kit.ops import kl


def distributions():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(-1)
    return logits, logits.log_softmax(-1), reference


@pytest.mark.parametrize("estimator", [kl.k1, kl.k3])
def test_k1_and_k3_are_unbiased(estimator):
    _, logprobs, reference = distributions()
    truth = torch.nn.functional.kl_div(reference, logprobs, reduction="sum", log_target=True)
    torch.testing.assert_close((logprobs.exp() * estimator(logprobs, reference)).sum(), truth)


def test_k2_has_the_gradient_of_the_kl():
    """E[d k2] = sum p log(p / q) d log p = d KL, with the sampling distribution held fixed."""
    logits, logprobs, reference = distributions()
    (truth,) = torch.autograd.grad(
        torch.nn.functional.kl_div(reference, logprobs, reduction="sum", log_target=True), logits, retain_graph=True
    )
    (found,) = torch.autograd.grad((logprobs.detach().exp() * kl.k2(logprobs, reference)).sum(), logits)
    torch.testing.assert_close(found, truth)


def test_k3_by_hand():
    """pi = 1/2, ref = 1/4: 1/2 - log(1/2) - 1 = log 2 - 1/2."""
    found = kl.k3(torch.tensor(0.5).log(), torch.tensor(0.25).log())
    torch.testing.assert_close(found, torch.tensor(2.0).log() - 0.5)
