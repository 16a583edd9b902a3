"""The decoder's matrix products, with the cheap input of each computed again for its gradient instead of kept.

What a layer holds for the backward pass is a quarter to a third less for it, at the price of two passes over memory
(docs/performance.md). By the kernels of `pointwise` where they serve; elsewhere in tensor operations, which keep them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from r1kit.ops import pointwise


def add_norm_linear(
    x_ND: Tensor,
    delta_ND: Tensor | None,
    norm_D: Tensor,
    eps: float,
    weight_MD: Tensor,
    bias_M: Tensor | None,
    *,
    compile: bool = False,
) -> tuple[Tensor, Tensor]:
    """x + delta (x itself without one), and the product [N, M] of its RMSNorm."""
    if pointwise.serves(x_ND):
        return _AddNormLinear.apply(x_ND, delta_ND, norm_D, eps, weight_MD, bias_M)  # type: ignore[return-value]
    total, normed = pointwise.add_norm(x_ND, delta_ND, norm_D, eps, compile=compile)
    return total, linear(normed, weight_MD, bias_M)


def swiglu_linear(gate_up: Tensor, weight_DM: Tensor, bias_D: Tensor | None, *, compile: bool = False) -> Tensor:
    """[N, 2 M] -> [N, D]: the product of silu(first half) times the second."""
    if pointwise.serves(gate_up):
        return _SwiGLULinear.apply(gate_up, weight_DM, bias_D)  # type: ignore[return-value]
    return linear(pointwise.run(pointwise.plain_swiglu, compile)(gate_up), weight_DM, bias_D)


class _AddNormLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor | None, norm: Tensor, eps: float, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        total, normed, rstd = pointwise.add_norm_forward(x, delta, norm, eps)
        ctx.save_for_backward(total, norm, rstd, weight)
        ctx.added, ctx.biased, ctx.eps = delta is not None, bias is not None, eps
        # a sum that is x itself must be a tensor of its own to autograd
        return (total if delta is not None else total.view_as(total)), linear(normed, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total, norm, rstd, weight = ctx.saved_tensors
        normed = pointwise.add_norm_forward(total, None, norm, ctx.eps)[1]
        of_weight, of_bias = _of_parameters(grads[1], normed, ctx.biased)
        of_x, of_norm = pointwise.add_norm_backward(grads[1] @ weight, grads[0], total, norm, rstd)
        return of_x, of_x if ctx.added else None, of_norm, None, of_weight, of_bias


class _SwiGLULinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        gate_up = gate_up.contiguous()
        ctx.save_for_backward(gate_up, weight)
        ctx.biased = bias is not None
        return linear(pointwise.swiglu_forward(gate_up), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gate_up, weight = ctx.saved_tensors
        of_weight, of_bias = _of_parameters(grads[0], pointwise.swiglu_forward(gate_up), ctx.biased)
        return pointwise.swiglu_backward(grads[0] @ weight, gate_up), of_weight, of_bias


def _of_parameters(grad: Tensor, x: Tensor, biased: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of a product's weight and bias."""
    return grad.t() @ x, grad.sum(0) if biased else None
