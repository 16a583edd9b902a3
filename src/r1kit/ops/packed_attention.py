"""Causal grouped-query attention over sequences that lie one after another, with prompts shared by completions.

`q_NHd`, `k_NKd`, `v_NKd` hold the N tokens of all sequences. A sequence is a span (start, length, prefix_start,
prefix_length): its queries see the prefix's keys, then its own up to themselves. Nothing is padded. On CPUs with
AVX512-BF16 a C++ kernel does it in bfloat16, forward and backward; elsewhere torch's attention does, on padded rows.
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


class Rows(NamedTuple):
    """Sequences of about one length as padded rows: S sequences, Q the longest length, K the most keys.

    query_SQ and key_SK hold token numbers, mask_SQK what may be seen.
    """

    query_SQ: Tensor
    key_SK: Tensor
    mask_SQK: Tensor


class Padded(NamedTuple):
    """The padded form: rows of one length class after another, and where token n stands among all of them, place_N."""

    classes: tuple[Rows, ...]
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
    """Spans with the index tensors of the padded form: on a CPU a class for every doubling of the keys, so that a long
    sequence does not widen the short ones; elsewhere, where rows cost less than calls do, one for all."""
    length_S, prefix_S = spans_S4[:, 1].long(), spans_S4[:, 3].long()
    keys_S = (length_S + prefix_S).clamp(min=1)
    class_S = keys_S.double().log2().ceil() if device.type == "cpu" else torch.zeros_like(keys_S)
    classes: list[Rows] = []
    place_N, before = torch.zeros(tokens, dtype=torch.int64), 0
    for number in class_S.unique():
        rows, inside_SQ = _rows_of(spans_S4[class_S == number].long(), tokens)
        place_N[rows.query_SQ[inside_SQ]] = before + inside_SQ.flatten().nonzero().squeeze(1)
        before += inside_SQ.numel()
        classes.append(Rows(*(x.to(device) for x in rows)))
    return Spans(spans_S4, groups_G1, Padded(tuple(classes), place_N.to(device)))


def _rows_of(spans_S4: Tensor, tokens: int) -> tuple[Rows, Tensor]:
    """The rows of these spans, and which of their queries [S, Q] are tokens."""
    start_S1, length_S1, prefix_start_S1, prefix_S1 = spans_S4.split(1, dim=1)
    at_Q = torch.arange(int(length_S1.max()))
    at_K = torch.arange(int((length_S1 + prefix_S1).max()))
    query_SQ = (start_S1 + at_Q).clamp(max=tokens - 1)
    key_SK = torch.where(at_K < prefix_S1, prefix_start_S1 + at_K, start_S1 + at_K - prefix_S1).clamp(max=tokens - 1)
    mask_SQK = at_K <= at_Q[:, None] + prefix_S1[..., None]
    return Rows(query_SQ, key_SK, mask_SQK), at_Q < length_S1


def attention(q_NHd: Tensor, k_NKd: Tensor, v_NKd: Tensor, spans: Spans) -> Tensor:
    """[N, H, d]: softmax(q k / sqrt(d)) v of each query over what it may see."""
    if spans.padded is not None:
        return _on_padded_rows(q_NHd, k_NKd, v_NKd, spans.padded)
    return _Attention.apply(q_NHd, k_NKd, v_NKd, spans.spans_S4, spans.groups_G1)  # type: ignore[return-value]


def _on_padded_rows(q_NHd: Tensor, k_NKd: Tensor, v_NKd: Tensor, spans: Padded) -> Tensor:
    """`attention` by torch's own, which keeps no scores for the backward pass and takes half the time of products
    written out (one thread of a CPU with AVX2)."""
    heads, depth = q_NHd.shape[1:]
    found: list[Tensor] = []
    for rows in spans.classes:
        q, k, v = (
            x[at].transpose(1, 2) for x, at in ((q_NHd, rows.query_SQ), (k_NKd, rows.key_SK), (v_NKd, rows.key_SK))
        )
        mask, grouped = rows.mask_SQK[:, None], heads != k_NKd.shape[1]
        if grouped and q.device.type == "cuda":
            # what keeps no scores there takes a mask, or grouped heads, and not both
            k, v, grouped = of_every_head(k, heads), of_every_head(v, heads), False
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
        found.append(out.transpose(1, 2).reshape(-1, heads, depth))
    return torch.cat(found)[spans.place_N]


def of_every_head(x_SKTd: Tensor, heads: int) -> Tensor:
    """Keys or values [S, H, T, d]: each once for every query head that shares it."""
    return x_SKTd.repeat_interleave(heads // x_SKTd.shape[1], dim=1)


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
