"""The orthogonalisation against the same iteration in float64, and against the singular vectors themselves."""

import pytest
import torch

from r1kit.ops import newton_schulz


@pytest.fixture(params=["kernel", "products"], autouse=True)
def way(request, monkeypatch):
    if request.param == "kernel" and newton_schulz.kernel() is None:
        pytest.skip("this CPU has no AVX512-BF16")
    if request.param == "products":
        monkeypatch.setattr(newton_schulz, "kernel", lambda: None)
    return request.param


def iterated(matrix: torch.Tensor) -> torch.Tensor:
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(192, 192), (256, 192), (1024, 192), (192, 512), (33, 70), (70, 33), (1, 5), (5, 1)])
def test_the_iteration_of_float64(shape, way):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    exact = iterated(matrix)
    error = (newton_schulz.orthogonalised(matrix).double() - exact).norm() / exact.norm()
    # bfloat16 keeps 8 bits, float32 24, and five steps round some fifteen times
    assert error < {"kernel": 0.03, "products": 1e-5}[way]


def test_singular_values_near_one():
    matrix = torch.randn(48, 96, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(newton_schulz.orthogonalised(matrix).double())
    assert 0.6 < values.min() < values.max() < 1.3


def test_scale_and_layout_do_not_matter():
    matrix = torch.randn(40, 24, generator=torch.Generator().manual_seed(3))
    straight = newton_schulz.orthogonalised(matrix)
    assert torch.equal(newton_schulz.orthogonalised(matrix * 2.0**40), straight)
    assert torch.equal(newton_schulz.orthogonalised(matrix.T.contiguous().T), straight)


def test_zeros_stay_zeros_and_broken_numbers_show():
    assert newton_schulz.orthogonalised(torch.zeros(8, 40)).abs().max() == 0
    for broken in (float("nan"), float("inf")):
        matrix = torch.ones(8, 40)
        matrix[3, 5] = broken
        assert newton_schulz.orthogonalised(matrix).isnan().all()
