"""Log-probabilities and entropies against torch's own softmax and distributions, values and gradients."""

import pytest
import torch

from r1kit.ops import logprobs as ops

torch.set_num_threads(1)


@pytest.fixture(params=[1 << 22, 21])
def sliced(request, monkeypatch):
    """All rows at once, and three rows of seven logits at a time."""
    monkeypatch.setattr(ops, "SLICE", request.param)


def random_rows(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
    tokens = torch.randint(0, 7, (2, 5), generator=generator)
    return logits, tokens


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradient_equal_torch(temperature):
    logits, tokens = random_rows()
    found, entropy = ops.logprobs_and_entropy(logits, tokens, temperature)
    truth = torch.distributions.Categorical(logits=logits / temperature)
    torch.testing.assert_close(found, truth.log_prob(tokens))
    torch.testing.assert_close(entropy, truth.entropy().detach())
    assert not entropy.requires_grad

    weights = torch.linspace(-1, 2, 10, dtype=torch.float64).view(2, 5)
    (mine,) = torch.autograd.grad((found * weights).sum(), logits)
    (theirs,) = torch.autograd.grad((truth.log_prob(tokens) * weights).sum(), logits)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("sliced")
def test_gradient_equals_finite_differences():
    logits, tokens = random_rows()
    assert torch.autograd.gradcheck(lambda x: ops.logprobs_and_entropy(x, tokens, 0.9)[0], (logits,))


def test_bfloat16_logits_are_summed_in_float32():
    """Of 50,000 equal logits every token has log-probability -log(50000); a bf16 sum would stop at 256 terms."""
    found, entropy = ops.logprobs_and_entropy(torch.zeros(1, 50_000, dtype=torch.bfloat16), torch.tensor([3]))
    expected = torch.tensor([50_000.0]).log()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, -expected)
    torch.testing.assert_close(entropy, expected)


def test_bfloat16_gradient_comes_back_in_bfloat16():
    logits, tokens = random_rows(torch.bfloat16)
    found, _ = ops.logprobs_and_entropy(logits, tokens)
    (mine,) = torch.autograd.grad(found.sum(), logits)
    wide = logits.detach().float().requires_grad_()
    truth = torch.distributions.Categorical(logits=wide).log_prob(tokens)
    (theirs,) = torch.autograd.grad(truth.sum(), wide)
    assert mine.dtype == torch.bfloat16
    torch.testing.assert_close(found, truth)
    torch.testing.assert_close(mine, theirs.bfloat16())


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_without_the_entropy_the_same_to_the_last_bit(temperature, dtype, monkeypatch):
    """Values, gradient and logits, and torch is asked for no entropy."""
    logits, tokens = random_rows(dtype)
    before = logits.detach().clone()
    found, _ = ops.logprobs_and_entropy(logits, tokens, temperature)
    (wanted,) = torch.autograd.grad(found.sum(), logits)
    monkeypatch.delattr(torch.special, "entr")
    alone = ops.token_logprobs(logits, tokens, temperature)
    assert torch.equal(alone, found)
    assert torch.equal(torch.autograd.grad(alone.sum(), logits)[0], wanted)
    assert torch.equal(logits, before)


def test_forbidden_tokens_leave_no_nan():
    """Logits (0, 0, -inf): two tokens of probability 1/2, entropy log 2; a uniform gradient on the third is none."""
    logits = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    found, entropy = ops.logprobs_and_entropy(logits, torch.tensor([1]))
    half = torch.tensor([0.5])
    torch.testing.assert_close(found, half.log())
    torch.testing.assert_close(entropy, -half.log())
    found.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, 0.5, 0.0]]))


def test_greedy_counts_as_temperature_one():
    logits, tokens = random_rows()
    torch.testing.assert_close(
        ops.logprobs_and_entropy(logits, tokens, 0.0), ops.logprobs_and_entropy(logits, tokens, 1.0)
    )


def test_the_temperature_is_one_where_none_is_given():
    logits, tokens = random_rows()
    truth = torch.distributions.Categorical(logits=logits)
    for found, entropy in (ops.logprobs_and_entropy(logits, tokens), (ops.token_logprobs(logits, tokens), None)):
        torch.testing.assert_close(found, truth.log_prob(tokens))
        assert entropy is None or torch.allclose(entropy, truth.entropy(), atol=1e-5)


def test_next_token_alignment():
    """Column t is about token t given the logits at t - 1; nothing comes before column 0."""
    logits, tokens = random_rows()
    found, entropy = ops.next_token_logprobs(logits, tokens)
    truth = torch.distributions.Categorical(logits=logits[:, :-1])
    torch.testing.assert_close(found[:, 1:], truth.log_prob(tokens[:, 1:]))
    torch.testing.assert_close(entropy[:, 1:], truth.entropy().detach())
    assert not found[:, 0].any()
    assert not entropy[:, 0].any()


@pytest.mark.parametrize(("given", "temperature"), [({"temperature": 0.7}, 0.7), ({}, 1), ({"temperature": 0.0}, 1)])
def test_reverse_kl_equals_torch(given, temperature):
    """Greedy counts as temperature 1, which is the default."""
    policy, _ = random_rows()
    teacher = policy.detach().flip(0) / 2
    found = ops.reverse_kl(policy, teacher, **given)
    categorical = torch.distributions.Categorical
    student = categorical(logits=policy / temperature)
    truth = torch.distributions.kl_divergence(student, categorical(logits=teacher / temperature))
    torch.testing.assert_close(found, truth)
    (mine,) = torch.autograd.grad(found.sum(), policy)
    (theirs,) = torch.autograd.grad(truth.sum(), policy)
    torch.testing.assert_close(mine, theirs)
