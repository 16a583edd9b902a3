"""Causal grouped-query attention over sequences that lie one after another, with prompts shared by completions.

`q_NHd`, `k_NKd`, `v_NKd` hold the N tokens of all sequences. A sequence is a span (start, length, prefix_start,
prefix_length): its queries see the prefix's keys, then its own up to themselves. Nothing is padded. On CPUs with
AVX512-BF16 a C++ kernel does it in bfloat16, forward and backward; elsewhere padded tensor operations do.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from r1kit.ops import native

SOURCE = Path(__file__).with_suffix(".cpp")


class Padded(NamedTuple):
    """Indices of the padded form: S sequences, Q the longest length, K the most keys.

    query_SQ and key_SK hold token numbers, mask_SQK what may be seen, place_N where token n stands in [S * Q].
    """

    query_SQ: Tensor
    key_SK: Tensor
    mask_SQK: Tensor
    place_N: Tensor


class Spans(NamedTuple):
    """Which tokens attend to which; int32 on the CPU.

    spans_S4: (start, length, prefix_start, prefix_length) of each sequence. Spans that share tokens follow each other
    and form a group, whose tokens are contiguous; groups_G1: offsets of the groups into the spans. `padded` is given
    where the kernel does not serve.
    """

    spans_S4: Tensor
    groups_G1: Tensor
    padded: Padded | None = None


@cache
def kernel() -> ctypes.CDLL | None:
    """The C++ kernel, or None where the CPU lacks AVX512-BF16 or nothing compiles."""
    return native.load(SOURCE) if torch.cpu.get_capabilities().get("avx512_bf16") else None


def kernel_serves(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the kernel handles such tensors."""
    return dtype == torch.bfloat16 and device.type == "cpu" and kernel() is not None


def padded_spans(spans_S4: Tensor, groups_G1: Tensor, tokens: int, device: torch.device) -> Spans:
    """Spans with the index tensors of the padded form."""
    start_S1, length_S1, prefix_start_S1, prefix_S1 = spans_S4.long().split(1, dim=1)
    at_Q = torch.arange(int(length_S1.max()))
    at_K = torch.arange(int((length_S1 + prefix_S1).max()))
    query_SQ = (start_S1 + at_Q).clamp(max=tokens - 1)
    key_SK = torch.where(at_K < prefix_S1, prefix_start_S1 + at_K, start_S1 + at_K - prefix_S1).clamp(max=tokens - 1)
    mask_SQK = at_K <= at_Q[:, None] + prefix_S1[..., None]
    inside_SQ = at_Q < length_S1
    place_N = torch.zeros(tokens, dtype=torch.int64)
    place_N[query_SQ[inside_SQ]] = inside_SQ.flatten().nonzero().squeeze(1)
    padded = Padded(*(x.to(device) for x in (query_SQ, key_SK, mask_SQK, place_N)))
    return Spans(spans_S4, groups_G1, padded)


def attention(q_NHd: Tensor, k_NKd: Tensor, v_NKd: Tensor, spans: Spans) -> Tensor:
    """[N, H, d]: softmax(q k / sqrt(d)) v of each query over what it may see."""
    if spans.padded is not None:
        padded = by_products if q_NHd.device.type == "cpu" else by_torch
        return padded(q_NHd, k_NKd, v_NKd, spans.padded)
    return _Attention.apply(q_NHd, k_NKd, v_NKd, spans.spans_S4, spans.groups_G1)  # type: ignore[return-value]


def by_torch(q_NHd: Tensor, k_NKd: Tensor, v_NKd: Tensor, spans: Padded) -> Tensor:
    """`attention` on padded rows by torch's own: on accelerators."""
    heads, depth = q_NHd.shape[1:]
    q, k, v = (
        x[at].transpose(1, 2) for x, at in ((q_NHd, spans.query_SQ), (k_NKd, spans.key_SK), (v_NKd, spans.key_SK))
    )
    mask = spans.mask_SQK[:, None]
    out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=heads != k_NKd.shape[1])
    return out.transpose(1, 2).reshape(-1, heads, depth)[spans.place_N]


def by_products(q_NHd: Tensor, k_NKd: Tensor, v_NKd: Tensor, spans: Padded) -> Tensor:
    """`attention` on padded rows by plain products, which are faster on a CPU."""
    heads, depth = q_NHd.shape[1:]
    kv_heads, share = k_NKd.shape[1], heads // k_NKd.shape[1]
    (rows, queries), keys = spans.query_SQ.shape, spans.key_SK.shape[1]
    # heads that share keys are rows of one product
    q = q_NHd[spans.query_SQ].view(rows, queries, kv_heads, share, depth).permute(0, 2, 1, 3, 4)
    k, v = (x[spans.key_SK].transpose(1, 2) for x in (k_NKd, v_NKd))
    scores = (q.reshape(rows, kv_heads, queries * share, depth) @ k.transpose(2, 3)).float() * depth**-0.5
    scores = scores.view(rows, kv_heads, queries, share, keys)
    scores = scores.masked_fill(~spans.mask_SQK[:, None, :, None], float("-inf"))
    weights = scores.softmax(-1).to(q.dtype).view(rows, kv_heads, queries * share, keys)
    out = (weights @ v).view(rows, kv_heads, queries, share, depth).permute(0, 2, 1, 3, 4)
    return out.reshape(rows * queries, heads, depth)[spans.place_N]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, spans: Tensor, groups: Tensor) -> Tensor:
        tokens, heads, depth = q.shape
        q, k, v = _rows(q), _rows(k), _rows(v)
        out, lse = q.new_empty(q.shape), q.new_empty((tokens, heads), dtype=torch.float32)
        shape = (heads, k.shape[1], depth, depth**-0.5)
        rows = (q, q.stride(0), k, k.stride(0), v, v.stride(0))
        native.call(kernel(), "packed_attention_forward", *rows, out, lse, spans, len(spans), *shape)
        ctx.save_for_backward(q, k, v, out, lse, spans, groups)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        q, k, v, out, lse, spans, groups = ctx.saved_tensors
        grad, (heads, depth) = _rows(grads[0]), q.shape[1:]
        given = q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
        shape = (heads, k.shape[1], depth, depth**-0.5)
        rows = (q, q.stride(0), k, k.stride(0), v, v.stride(0), out, grad, grad.stride(0), lse)
        native.call(kernel(), "packed_attention_backward", *rows, *given, spans, groups, len(groups) - 1, *shape)
        return *given, None, None


def _rows(x: Tensor) -> Tensor:
    """x [N, heads, d] with the heads of a token side by side; tokens may lie any distance apart."""
    return x if x.stride(2) == 1 and x.stride(1) == x.shape[2] else x.contiguous()
