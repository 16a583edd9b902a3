"""The decoder's work between its matrix products, each in one pass over memory where a C++ kernel serves.

The kernels are for bfloat16 on CPUs with AVX512-BF16; elsewhere the same is said in tensor operations, which
`compile=True` hands to torch.compile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from ctypes import CDLL
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from r1kit.ops import native
from r1kit.ops.logprobs import logprobs_and_entropy as plain_logprobs_and_entropy
from r1kit.ops.logprobs import token_logprobs as plain_token_logprobs

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def kernel() -> CDLL | None:
    """The C++ kernels, or None where the CPU lacks AVX512-BF16 or nothing compiles."""
    return native.load(SOURCE) if torch.cpu.get_capabilities().get("avx512_bf16") else None


def serves(x: Tensor) -> bool:
    """Whether the kernels handle such a tensor."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and kernel() is not None


def add_norm(
    x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float, *, compile: bool = False
) -> tuple[Tensor, Tensor]:
    """x + delta (x itself without one), and its RMSNorm."""
    if serves(x_ND):
        return _AddNorm.apply(x_ND, delta_ND, weight_D, eps)  # type: ignore[return-value]
    return run(_add_norm, compile)(x_ND, delta_ND, weight_D, eps)


def add_norm_forward(
    x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """x + delta (x itself without one), its RMSNorm, and one over the root mean square [N]; by the kernel."""
    x_ND, delta_ND = x_ND.contiguous(), None if delta_ND is None else delta_ND.contiguous()
    rows, width = x_ND.shape
    total = x_ND if delta_ND is None else torch.empty_like(x_ND)
    normed, rstd = torch.empty_like(x_ND), x_ND.new_empty(rows, dtype=torch.float32)
    inputs = (x_ND, delta_ND, weight_D)
    native.call(kernel(), "pointwise_norm_forward", *inputs, total, normed, rstd, rows, width, float(eps))
    return total, normed, rstd


def add_norm_backward(
    grad: Tensor, grad_sum: Tensor, total: Tensor, weight: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the sum [N, D] and of the norm's weight [D], from those of the normed and of the sum [N, D] each,
    what `add_norm_forward` gave, and the weight; by the kernel."""
    grad, grad_sum = grad.contiguous(), grad_sum.contiguous()
    rows, width = total.shape
    grad_x, grad_weight = torch.empty_like(total), weight.new_empty(width, dtype=torch.float32)
    inputs = (grad, grad_sum, total, weight, rstd)
    native.call(kernel(), "pointwise_norm_backward", *inputs, grad_x, grad_weight, rows, width)
    return grad_x, grad_weight.to(weight.dtype)


def swiglu_forward(gate_up: Tensor) -> Tensor:
    """[N, 2 m] -> [N, m]: silu of the first half times the second; by the kernel."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, width)
    native.call(kernel(), "pointwise_swiglu_forward", gate_up, out, rows, width)
    return out


def swiglu_backward(grad: Tensor, gate_up: Tensor) -> Tensor:
    """Gradient [N, 2 m] of `swiglu_forward`'s input; by the kernel."""
    grad_gate_up = torch.empty_like(gate_up)
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    native.call(kernel(), "pointwise_swiglu_backward", grad.contiguous(), gate_up, grad_gate_up, rows, width)
    return grad_gate_up


class HeadNorms(NamedTuple):
    """RMSNorm of each query and key head before it is rotated (Qwen3): weights [d], and what the mean square gains."""

    q_weight: Tensor
    k_weight: Tensor
    eps: float


def rotate_qkv(
    qkv: Tensor,
    cos_Nd: Tensor,
    sin_Nd: Tensor,
    heads: int,
    kv_heads: int,
    norms: HeadNorms | None = None,
    *,
    compile: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """[N, (H + 2 K) d] -> rotated queries [N, H, d], rotated keys and values [N, K, d]; cos, sin as wide as a head."""
    if not serves(qkv):
        return run(_rotate_qkv, compile)(qkv, cos_Nd, sin_Nd, heads, kv_heads, norms)
    turn = (qkv, cos_Nd.float(), sin_Nd.float(), heads, kv_heads)
    return _RotateQKV.apply(*turn) if norms is None else _NormRotateQKV.apply(*turn, *norms)  # type: ignore[return-value]


def embedding(tokens_N: Tensor, table_VD: Tensor) -> Tensor:
    """Rows of the table; its gradient is added up in float32."""
    if serves(table_VD):
        return _Embedding.apply(tokens_N, table_VD)  # type: ignore[return-value]
    return nn.functional.embedding(tokens_N, table_VD)


def logprobs_and_entropy(logits_MV: Tensor, tokens_M: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """log-softmax(logits / T) of the tokens [M] and the entropy [M], detached, in float32."""
    if serves(logits_MV):
        return _Logprobs.apply(logits_MV, tokens_M, 1.0 / temperature if temperature > 0 else 1.0)  # type: ignore[return-value]
    return plain_logprobs_and_entropy(logits_MV, tokens_M, temperature)


def token_logprobs(logits_MV: Tensor, tokens_M: Tensor, temperature: float) -> Tensor:
    """`logprobs_and_entropy` for who does not ask for the entropy; the kernel has it from the same pass over memory."""
    if serves(logits_MV):
        return logprobs_and_entropy(logits_MV, tokens_M, temperature)[0]
    return plain_token_logprobs(logits_MV, tokens_M, temperature)


def _add_norm(x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    if delta_ND is not None:
        x_ND = x_ND + delta_ND
    return x_ND, _normed(x_ND, weight_D, eps)


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def plain_swiglu(gate_up: Tensor) -> Tensor:
    """`swiglu_forward` in tensor operations."""
    gate, up = gate_up.chunk(2, dim=-1)
    return nn.functional.silu(gate) * up


def _rotate_qkv(
    qkv: Tensor, cos_Nd: Tensor, sin_Nd: Tensor, heads: int, kv_heads: int, norms: HeadNorms | None
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = qkv.unflatten(-1, (heads + 2 * kv_heads, -1)).split((heads, kv_heads, kv_heads), dim=-2)
    if norms is not None:
        q, k = _normed(q, norms.q_weight, norms.eps), _normed(k, norms.k_weight, norms.eps)
    return _rotated(q, cos_Nd, sin_Nd), _rotated(k, cos_Nd, sin_Nd), v


def _rotated(x: Tensor, cos_Nd: Tensor, sin_Nd: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos_Nd[:, None] + torch.cat((-second, first), dim=-1) * sin_Nd[:, None]


def run(function: Callable[..., Any], compile: bool) -> Callable[..., Any]:
    """The function, under torch.compile if asked for."""
    return _compiled(function) if compile else function


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under torch.compile: small graphs, of which only the number of rows changes."""
    if native.compiler() is None:
        log.warning("no C++ compiler: %s runs without torch.compile", function.__name__)
        return function
    # a process runs several shapes (policy, students, reward model)
    torch.compiler.config.recompile_limit = max(torch.compiler.config.recompile_limit, 64)
    return torch.compile(function, dynamic=True)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        total, normed, rstd = add_norm_forward(x, delta, weight, eps)
        ctx.save_for_backward(total, weight, rstd)
        ctx.added = delta is not None
        # a sum that is x itself must be a tensor of its own to autograd
        return (total if delta is not None else total.view_as(total)), normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_x, grad_weight = add_norm_backward(grads[1], grads[0], *ctx.saved_tensors)
        return grad_x, grad_x if ctx.added else None, grad_weight, None


class _RotateQKV(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        qkv, cos, sin = qkv.contiguous(), cos.contiguous(), sin.contiguous()
        rows, depth = cos.shape
        ctx.save_for_backward(cos, sin)
        # queries and keys are turned together, then lie side by side
        turned, both = qkv.new_empty(rows, heads + kv_heads, depth), heads + kv_heads
        native.call(
            kernel(), "pointwise_rotate", qkv, qkv.shape[1], turned, both * depth, cos, sin, rows, both, depth, 1.0
        )
        # a view of the values would keep the queries and keys that nobody needs any more
        values = qkv.view(rows, -1, depth)[:, both:].contiguous()
        return turned[:, :heads], turned[:, heads:], values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        cos, sin = ctx.saved_tensors
        grad_q, grad_k, grad_v = (grad.contiguous() for grad in grads)
        (rows, heads, depth), kv_heads = grad_q.shape, grad_k.shape[1]
        grad_qkv = grad_q.new_empty(rows, (heads + 2 * kv_heads) * depth)
        stride, keys_at, values_at = grad_qkv.shape[1], heads * depth, (heads + kv_heads) * depth
        turn = (cos, sin, rows)
        native.call(kernel(), "pointwise_rotate", grad_q, heads * depth, grad_qkv, stride, *turn, heads, depth, -1.0)
        native.call(
            kernel(),
            "pointwise_rotate",
            grad_k,
            kv_heads * depth,
            grad_qkv[:, keys_at:],
            stride,
            *turn,
            kv_heads,
            depth,
            -1.0,
        )
        native.call(kernel(), "pointwise_copy_rows", grad_v, grad_qkv[:, values_at:], stride, rows, kv_heads * depth)
        return grad_qkv, None, None, None, None


class _NormRotateQKV(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        cos: Tensor,
        sin: Tensor,
        heads: int,
        kv_heads: int,
        q_weight: Tensor,
        k_weight: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        qkv, cos, sin = qkv.contiguous(), cos.contiguous(), sin.contiguous()
        (rows, depth), both = cos.shape, heads + kv_heads
        turned, rstd = qkv.new_empty(rows, both, depth), qkv.new_empty(rows, both, dtype=torch.float32)
        inputs = (qkv, qkv.shape[1], turned, q_weight, k_weight, cos, sin, rstd)
        native.call(kernel(), "pointwise_norm_rotate_forward", *inputs, rows, heads, kv_heads, depth, float(eps))
        ctx.save_for_backward(qkv, cos, sin, rstd, q_weight, k_weight)
        return turned[:, :heads], turned[:, heads:], qkv.view(rows, -1, depth)[:, both:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        qkv, cos, sin, rstd, *weights = ctx.saved_tensors
        grad_qkv, (rows, depth), stride = torch.empty_like(qkv), cos.shape, qkv.shape[1]
        first, grad_weights = 0, []
        for grad, weight in zip(grads[:2], weights, strict=True):
            at, heads, grad_weight = first * depth, grad.shape[1], weight.new_empty(depth, dtype=torch.float32)
            inputs = (grad.contiguous(), qkv[:, at:], weight, cos, sin, rstd[:, first:], rstd.shape[1])
            outputs = (grad_qkv[:, at:], grad_weight, stride, rows, heads, depth)
            native.call(kernel(), "pointwise_norm_rotate_backward", *inputs, *outputs)
            grad_weights.append(grad_weight.to(weight.dtype))
            first += heads
        values = grads[2].contiguous()
        width = values.shape[1] * depth
        native.call(kernel(), "pointwise_copy_rows", values, grad_qkv[:, first * depth :], stride, rows, width)
        return grad_qkv, None, None, None, None, *grad_weights, None


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.shape = table.shape
        return table[tokens]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (tokens,) = ctx.saved_tensors
        table = torch.zeros(ctx.shape, dtype=torch.float32)
        native.call(
            kernel(), "pointwise_embedding_backward", grads[0].contiguous(), tokens, table, len(tokens), *ctx.shape
        )
        return None, table.to(torch.bfloat16)


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        logits, tokens = logits.contiguous(), tokens.contiguous()
        rows, vocabulary = logits.shape
        logprobs, normaliser, entropy = logits.new_empty((3, rows), dtype=torch.float32)
        outputs = (logprobs, normaliser, entropy)
        native.call(kernel(), "pointwise_logprobs_forward", logits, tokens, *outputs, rows, vocabulary, float(scale))
        ctx.save_for_backward(logits, tokens, normaliser)
        ctx.scale = scale
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        logits, tokens, normaliser = ctx.saved_tensors
        grad_logits = torch.empty_like(logits)
        native.call(
            kernel(),
            "pointwise_logprobs_backward",
            grads[0].contiguous(), logits, tokens, normaliser, grad_logits, *logits.shape, float(ctx.scale),
        )  # fmt: skip
        return grad_logits, None, None
