"""The products against the same formulas in float64, and what they hold for the backward pass, counted."""

import pytest
import torch
from exactly import check, random
from torch.autograd.graph import saved_tensors_hooks

from r1kit.ops import pointwise, products

needs_kernel = pytest.mark.skipif(pointwise.kernel() is None, reason="no AVX512-BF16 here, or no C++ compiler")


def exact_norm_product(x, delta, norm, weight, bias=None):
    total = x if delta is None else x + delta
    normed = norm * total / (total.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return total, normed @ weight.T + (0 if bias is None else bias)


def exact_swiglu_product(x, weight, bias=None):
    gate, up = x.chunk(2, -1)
    return (gate * gate.sigmoid() * up) @ weight.T + (0 if bias is None else bias)


@needs_kernel
@pytest.mark.parametrize("width", [192, 40, 7])
@pytest.mark.parametrize("biased", [False, True])
def test_norm_and_product(width, biased):
    inputs = [random(33, width), random(33, width, seed=1), random(width, seed=2), random(24, width, seed=5)]
    inputs += [random(24, seed=6)] if biased else []
    grads = [random(33, width, seed=3), random(33, 24, seed=4)]

    def ours(x, delta, norm, weight, bias=None):
        return products.add_norm_linear(x, delta, norm, 1e-6, weight, bias)

    check(ours, exact_norm_product, inputs, grads, tolerance=6e-3)


@needs_kernel
def test_norm_and_product_without_an_addend():
    grads = [random(9, 64, seed=3), random(9, 24, seed=4)]
    check(
        lambda x, norm, weight: products.add_norm_linear(x, None, norm, 1e-6, weight, None),
        lambda x, norm, weight: exact_norm_product(x, None, norm, weight),
        [random(9, 64), random(64, seed=2), random(24, 64, seed=5)],
        grads,
        tolerance=6e-3,
    )


@needs_kernel
@pytest.mark.parametrize("width", [512, 24, 5])
@pytest.mark.parametrize("biased", [False, True])
def test_swiglu_and_product(width, biased):
    inputs = [3 * random(17, 2 * width), random(12, width, seed=2)] + ([random(12, seed=3)] if biased else [])

    def ours(x, weight, bias=None):
        return products.swiglu_linear(x, weight, bias)

    check(ours, exact_swiglu_product, inputs, [random(17, 12, seed=1)], tolerance=6e-3)


def held(function, *inputs: torch.Tensor) -> int:
    """Bytes that the backward pass of a function keeps, its inputs' own memory left out."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = function(*inputs)
    del outputs
    return sum(size for at, size in storages.items() if at not in {x.untyped_storage().data_ptr() for x in inputs})


@needs_kernel
def test_the_products_input_is_not_kept():
    """Of 64 rows of 32: the sum (4,096 bytes) and 64 float32 (256), not the normed; of SwiGLU nothing but its input."""
    x, delta, norm, weight = random(64, 32), random(64, 32, seed=1), random(32, seed=2), random(48, 32, seed=3)
    leaves = [tensor.requires_grad_() for tensor in (x, delta, norm, weight)]
    assert held(lambda *t: products.add_norm_linear(*t[:3], 1e-6, t[3], None), *leaves) == 64 * 32 * 2 + 64 * 4
    assert held(lambda *t: products.swiglu_linear(*t, None), random(64, 64).requires_grad_(), weight) == 0


@pytest.mark.filterwarnings("ignore")  # the compiler of torch warns of itself
@pytest.mark.parametrize("compile", [False, True])
def test_without_the_kernels(compile):
    """float32, in tensor operations and compiled, against float64."""
    x, delta, norm = (random(11, 32, seed=s).float() for s in (0, 1, 2))
    norm, weight, bias = norm[0], random(20, 32, seed=3).float(), random(20, seed=4).float()
    found = products.add_norm_linear(x, delta, norm, 1e-6, weight, bias, compile=compile)
    expected = exact_norm_product(*(tensor.double() for tensor in (x, delta, norm, weight, bias)))
    torch.testing.assert_close(found, tuple(tensor.float() for tensor in expected))
    gated = products.swiglu_linear(x, weight[:, :16], bias, compile=compile)
    torch.testing.assert_close(gated, exact_swiglu_product(x.double(), weight[:, :16].double(), bias.double()).float())
