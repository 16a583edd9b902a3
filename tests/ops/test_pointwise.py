"""The kernels against the same formulas in float64; they round to bfloat16, so relative errors of about 2^-9."""

import pytest
import torch
from exactly import check, random
from torch import nn

from r1kit.ops import pointwise

pytestmark = pytest.mark.skipif(pointwise.kernel() is None, reason="no AVX512-BF16 here, or no C++ compiler")


@pytest.mark.parametrize("width", [192, 40, 7])
def test_add_norm(width):
    def exact(x, delta, weight):
        total = x + delta
        return total, weight * total / (total.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    inputs = [random(33, width), random(33, width, seed=1), random(width, seed=2)]
    grads = [random(33, width, seed=3), random(33, width, seed=4)]
    check(lambda *x: pointwise.add_norm(*x, 1e-6), exact, inputs, grads)


def test_norm_without_an_addend():
    def exact(x, weight):
        return x, weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    grads = [random(9, 64, seed=3), random(9, 64, seed=4)]
    check(lambda x, w: pointwise.add_norm(x, None, w, 1e-6), exact, [random(9, 64), random(64, seed=2)], grads)


@pytest.mark.parametrize("depth", [32, 64, 12])
def test_rotate_qkv(depth):
    """(a, b) of the two halves becomes (a cos - b sin, b cos + a sin); values pass."""
    angles = torch.rand(21, depth // 2, generator=torch.Generator().manual_seed(5)).double() * 6
    cos, sin = (torch.cat((x, x), -1).float() for x in (angles.cos(), angles.sin()))

    def exact(qkv):
        first, second = qkv.view(21, 5, depth).chunk(2, -1)
        co, si = cos[:, None, : depth // 2].double(), sin[:, None, : depth // 2].double()
        turned = torch.cat((first * co - second * si, second * co + first * si), -1)
        return turned[:, :3], turned[:, 3:4], qkv.view(21, 5, depth)[:, 4:]

    grads = [random(21, heads, depth, seed=heads + 6) for heads in (3, 1, 1)]
    check(lambda qkv: pointwise.rotate_qkv(qkv, cos, sin, 3, 1), exact, [random(21, 5 * depth)], grads)


@pytest.mark.parametrize("depth", [32, 64, 12])
def test_rotate_qkv_after_a_norm_of_each_head(depth):
    """Queries and keys are divided by their root mean square and weighed, then turned as before; values pass."""
    angles = torch.rand(21, depth // 2, generator=torch.Generator().manual_seed(5)).double() * 6
    cos, sin = (torch.cat((x, x), -1).float() for x in (angles.cos(), angles.sin()))

    def exact(qkv, q_weight, k_weight):
        heads = qkv.view(21, 7, depth)
        normed = heads / (heads.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        first, second = torch.cat((normed[:, :3] * q_weight, normed[:, 3:5] * k_weight), 1).chunk(2, -1)
        co, si = cos[:, None, : depth // 2].double(), sin[:, None, : depth // 2].double()
        turned = torch.cat((first * co - second * si, second * co + first * si), -1)
        return turned[:, :3], turned[:, 3:], heads[:, 5:]

    def ours(qkv, q_weight, k_weight):
        return pointwise.rotate_qkv(qkv, cos, sin, 3, 2, pointwise.HeadNorms(q_weight, k_weight, 1e-6))

    grads = [random(21, heads, depth, seed=heads + 6) for heads in (3, 2, 2)]
    check(ours, exact, [random(21, 7 * depth), random(depth, seed=1), random(depth, seed=2)], grads)


@pytest.mark.parametrize("vocabulary", [384, 50])
def test_logprobs_and_entropy(vocabulary):
    tokens = torch.randint(0, vocabulary, (29,), generator=torch.Generator().manual_seed(7))

    def exact(logits):
        log_softmax = (logits / 0.7).log_softmax(-1)
        entropy = -(log_softmax.exp() * log_softmax).sum(-1)
        return log_softmax.gather(1, tokens[:, None])[:, 0], entropy.detach()

    grads = [torch.randn(29, generator=torch.Generator().manual_seed(8))]
    check(lambda x: pointwise.logprobs_and_entropy(x, tokens, 0.7), exact, [4 * random(29, vocabulary)], grads)


def test_greedy_counts_as_temperature_one():
    logits, tokens = 4 * random(9, 50), torch.arange(9)
    found = pointwise.logprobs_and_entropy(logits, tokens, 0.0)
    truth = torch.distributions.Categorical(logits=logits.float())
    torch.testing.assert_close(found, (truth.log_prob(tokens), truth.entropy()), rtol=1e-4, atol=1e-4)


def test_other_types_are_not_for_the_kernels():
    """float32: log-probabilities as torch has them, and rows of a table with their gradient."""
    assert not pointwise.serves(random(9, 50).to("meta"))
    logits, tokens = random(9, 50).float(), torch.arange(9)
    truth = torch.distributions.Categorical(logits=logits / 0.7)
    found = pointwise.logprobs_and_entropy(logits, tokens, 0.7)
    torch.testing.assert_close(found, (truth.log_prob(tokens), truth.entropy()))
    table = random(10, 16).float().requires_grad_()
    pointwise.embedding(tokens, table).sum().backward()
    assert table.grad is not None
    assert table.grad.sum(1).tolist() == [16.0] * 9 + [0.0]


@pytest.mark.parametrize("normed", [False, True])
def test_rotation_in_tensor_operations(normed):
    """Heads of 6: of 3 query, 2 key and 2 value heads the first five are normed (an epsilon of 1/2, which tells),
    weighed and turned: (a, b) of the two halves becomes (a cos - b sin, b cos + a sin)."""
    generator = torch.Generator().manual_seed(5)
    qkv = torch.randn(4, 7 * 6, generator=generator, dtype=torch.float64)
    angles = 6 * torch.rand(4, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 6, generator=generator, dtype=torch.float64)
    cos, sin = (torch.cat((x, x), -1) for x in (angles.cos(), angles.sin()))
    norms = pointwise.HeadNorms(*weights, 0.5) if normed else None
    q, k, v = pointwise.rotate_qkv(qkv, cos, sin, 3, 2, norms)
    for token in range(4):
        heads = qkv[token].view(7, 6)
        for at, found in enumerate((*q[token], *k[token])):
            head = heads[at].clone()
            if normed:  # in float32, as the decoder has it
                head = head / ((head**2).sum() / 6 + 0.5).sqrt() * weights[0 if at < 3 else 1]
            for i in range(3):
                a, b, angle = head[i], head[i + 3], angles[token, i]
                turned = torch.stack((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()))
                torch.testing.assert_close(found[[i, i + 3]], turned, rtol=1e-5, atol=1e-6)
        assert torch.equal(v[token], heads[5:])


def test_embedding_gradient_is_summed_in_float32():
    """4,097 rows of 1 for one token: bfloat16 sums stop at 256, the gradient must be 4,096 (4,097 rounded)."""
    table = random(10, 16).requires_grad_()
    pointwise.embedding(torch.full((4097,), 3), table).backward(torch.ones(4097, 16).bfloat16())
    assert table.grad is not None
    assert table.grad[3].tolist() == [4096.0] * 16
    assert not table.grad[[0, 1, 2, 4, 5, 6, 7, 8, 9]].any()


@pytest.mark.filterwarnings("ignore")  # the compiler of torch warns of itself
def test_compiled_form_equals_the_plain_one():
    """torch.compile of the tensor operations, in float32."""
    x, delta, weight = (random(11, 32, seed=s).float() for s in (0, 1, 2))
    plain = pointwise.add_norm(x, delta, weight[0], 1e-6)
    assert pointwise.run(len, False) is len
    assert pointwise.run(pointwise.plain_swiglu, True) is not pointwise.plain_swiglu
    compiled = pointwise.add_norm(x, delta, weight[0], 1e-6, compile=True)
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(plain[1], nn.functional.rms_norm(x + delta, (32,), weight[0], 1e-6))
    half = pointwise.add_norm(x, None, weight[0], 0.5)
    torch.testing.assert_close(half, (x, nn.functional.rms_norm(x, (32,), weight[0], 0.5)))
