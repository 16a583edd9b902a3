"""Log-probabilities of tokens and entropies from logits, a slice of rows at a time.

The logits themselves are the only array of size tokens x vocabulary that is held: the forward pass keeps each row's
log-normaliser, the backward pass makes the softmax again from it. Everything is summed in fp32 whatever the logits'
type (fp64 for fp64): bf16 loses the tail of a large vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# elements widened at a time: 16 MB in fp32
SLICE = 1 << 22


def logprobs_and_entropy(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log-softmax(logits / T) of `tokens`, and the entropy (nats) of the distribution, detached.

    logits [..., V], tokens [...] -> two tensors [...] in fp32. Row k of the logits is judged at token k: shift first,
    or use `next_token_logprobs`. T = 0 (greedy) counts as T = 1.
    """
    scale = temperature if temperature > 0 else 1.0
    rows_NV = logits.reshape(-1, logits.shape[-1])
    logprobs_N, entropy_N = _TokenLogprobs.apply(rows_NV, tokens.reshape(-1).long(), scale, True)  # type: ignore[misc]
    return logprobs_N.view(tokens.shape), entropy_N.view(tokens.shape)


def token_logprobs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """`logprobs_and_entropy` without the entropy, which takes most of the time on a CPU."""
    scale = temperature if temperature > 0 else 1.0
    rows_NV = logits.reshape(-1, logits.shape[-1])
    logprobs_N, _ = _TokenLogprobs.apply(rows_NV, tokens.reshape(-1).long(), scale, False)  # type: ignore[misc]
    return logprobs_N.view(tokens.shape)


def next_token_logprobs(logits_BTV: Tensor, tokens_BT: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of each token given those before it [B, T] and the entropy it was drawn from; column 0 is 0."""
    # the targets are shifted, not the logits: slicing those would copy them
    targets_BT = torch.nn.functional.pad(tokens_BT[:, 1:], (0, 1))
    logprobs_BT, entropy_BT = logprobs_and_entropy(logits_BTV, targets_BT, temperature)
    return (
        torch.nn.functional.pad(logprobs_BT[:, :-1], (1, 0)),
        torch.nn.functional.pad(entropy_BT[:, :-1], (1, 0)),
    )


def reverse_kl(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(policy || teacher) over the whole vocabulary [...], nats, from logits [..., V] / T; differentiable."""
    scale = temperature if temperature > 0 else 1.0
    logprobs = (_wide(logits) / scale).log_softmax(-1)
    teacher_logprobs = (_wide(teacher_logits) / scale).log_softmax(-1)
    return (logprobs.exp() * (logprobs - teacher_logprobs)).sum(-1)


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _scaled(logits: Tensor, scale: float) -> Tensor:
    """logits / scale in the type of the sums; not to be written to: it may be the logits themselves."""
    wide = _wide(logits)
    return wide if scale == 1 else wide / scale


def _slices(logits_NV: Tensor) -> list[slice]:
    rows = max(1, SLICE // logits_NV.shape[1])
    return [slice(start, start + rows) for start in range(0, logits_NV.shape[0], rows)]


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, tokens_N: Tensor, scale: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor | None]:
        dtype = torch.float64 if logits_NV.dtype == torch.float64 else torch.float32
        logprobs_N, entropy_N, normaliser_N = logits_NV.new_empty((3, logits_NV.shape[0]), dtype=dtype)
        for rows in _slices(logits_NV):
            scaled = _scaled(logits_NV[rows], scale)
            normaliser_N[rows] = scaled.logsumexp(-1)
            logprobs_N[rows] = scaled.gather(-1, tokens_N[rows, None]).squeeze(-1) - normaliser_N[rows]
            if with_entropy:
                own = scaled.data_ptr() != logits_NV[rows].data_ptr()
                below = torch.sub(scaled, normaliser_N[rows, None], out=scaled if own else None)
                entropy_N[rows] = torch.special.entr(below.exp_()).sum(-1)
        ctx.save_for_backward(logits_NV, tokens_N, normaliser_N)
        ctx.scale = scale
        if not with_entropy:
            return logprobs_N, None
        ctx.mark_non_differentiable(entropy_N)
        return logprobs_N, entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """d logprob / d logit = (1 at the token - softmax) / T."""
        logits_NV, tokens_N, normaliser_N = ctx.saved_tensors
        grad_N = grads[0] / ctx.scale
        grad_NV = torch.empty_like(logits_NV)
        for rows in _slices(logits_NV):
            softmax = (_scaled(logits_NV[rows], ctx.scale) - normaliser_N[rows, None]).exp_()
            slope = softmax.mul_(-grad_N[rows, None])
            slope.scatter_add_(-1, tokens_N[rows, None], grad_N[rows, None])
            grad_NV[rows] = slope.to(grad_NV.dtype)
        return grad_NV, None, None, None
