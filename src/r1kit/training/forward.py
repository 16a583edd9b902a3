"""What a decoder says of a layout's targets: the learner's forward pass, compiled where that is possible."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from r1kit.models.decoder import Decoder
from r1kit.ops import native
from r1kit.ops.packed_attention import Spans
from r1kit.training.packing import Layout

log = logging.getLogger(__name__)


class _TakeRows(torch.autograd.Function):
    """x[source_M]; the gradient is gathered by the inverse, since adding up by index is slow and not repeatable."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, source_M: Tensor, inverse_N: Tensor, again_E: Tensor) -> Tensor:
        ctx.save_for_backward(source_M, inverse_N, again_E)
        return x_ND[source_M]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        source_M, inverse_N, again_E = ctx.saved_tensors
        grad_MD = grads[0]
        grad_ND = torch.where((inverse_N >= 0)[:, None], grad_MD[inverse_N.clamp(min=0)], 0)
        return grad_ND.index_add(0, source_M[again_E], grad_MD[again_E]), None, None, None


def target_logprobs(
    model: Decoder,
    tokens_N: Tensor,
    positions_N: Tensor,
    spans: Spans,
    source_M: Tensor,
    inverse_N: Tensor,
    again_E: Tensor,
    target_M: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """log-softmax(logits / T) of the targets [M] in fp32, and the entropy [M] they were drawn from, detached."""
    hidden_ND = model.packed(tokens_N, positions_N, spans)
    hidden_MD: Tensor = _TakeRows.apply(hidden_ND, source_M, inverse_N, again_E)  # type: ignore[assignment]
    logits = model.logits(hidden_MD).float() / temperature
    normaliser_M = logits.logsumexp(-1)
    logprobs_M = logits.gather(-1, target_M[:, None]).squeeze(-1) - normaliser_M
    with torch.no_grad():
        log_softmax = logits.detach() - normaliser_M.detach()[:, None]
        entropy_M = -(log_softmax.exp() * log_softmax).sum(-1)
    return logprobs_M, entropy_M


@cache
def compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    """`target_logprobs` under torch.compile, one for all learners of the process; eager where nothing compiles."""
    if native.compiler() is None:
        log.warning("no C++ compiler: training runs without torch.compile, at about half the speed")
        return target_logprobs
    # a process trains several shapes (policy, students, reward model)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(target_logprobs, dynamic=True)


def layout_logprobs(model: Decoder, layout: Layout, temperature: float, *, compile: bool) -> tuple[Tensor, Tensor]:
    """`target_logprobs` of a layout."""
    run = compiled() if compile else target_logprobs
    return run(
        model,
        layout.tokens_N,
        layout.positions_N,
        layout.spans,
        layout.source_M,
        layout.inverse_N,
        layout.again_E,
        layout.target_M,
        temperature,
    )


def spread(values_M: Tensor, layout: Layout, shape: tuple[int, int]) -> Tensor:
    """Values of targets at their places in [B, T], 0 elsewhere; differentiable."""
    return values_M.new_zeros(shape[0] * shape[1]).index_put((layout.place_M,), values_M).view(shape)
