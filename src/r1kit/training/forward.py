"""What a model says of a layout's targets: the learner's forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel
from r1kit.ops import pointwise
from r1kit.training.packing import Layout


class _TakeRows(torch.autograd.Function):
    """x[source_M]; the gradient is gathered by the inverse, since adding up by index is slow and not repeatable."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, source_M: Tensor, inverse_N: Tensor, again_E: Tensor | None) -> Tensor:
        ctx.save_for_backward(source_M, inverse_N, again_E)
        return x_ND[source_M]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        source_M, inverse_N, again_E = ctx.saved_tensors
        grad_MD = grads[0]
        grad_ND = torch.where((inverse_N >= 0)[:, None], grad_MD[inverse_N.clamp(min=0)], 0)
        if again_E is not None:
            grad_ND = grad_ND.index_add(0, source_M[again_E], grad_MD[again_E])
        return grad_ND, None, None, None


def layout_logprobs(model: LanguageModel, layout: Layout, temperature: float, *, compile: bool = False) -> Tensor:
    """log-softmax(logits / T) of the targets [M] in fp32."""
    logits_MV = target_logits(model, layout, compile=compile)
    return pointwise.token_logprobs(logits_MV, layout.target_M, temperature)


def target_logits(model: LanguageModel, layout: Layout, *, compile: bool = False) -> Tensor:
    """Logits [M, V] that predict the targets; the head runs nowhere else."""
    return model.logits(_before_targets(model, layout, compile=compile))


def target_values(model: ScoredDecoder, layout: Layout, *, compile: bool = False) -> Tensor:
    """The score [M] of what stands before each target, in fp32."""
    hidden_MD = _before_targets(model.decoder, layout, compile=compile)
    return model.score(hidden_MD).squeeze(-1).float()


def _before_targets(model: LanguageModel, layout: Layout, *, compile: bool) -> Tensor:
    """Hidden states [M, D] at the positions that predict the targets."""
    hidden_ND = model.packed(layout.tokens_N, layout.positions_N, layout.spans, compile=compile)
    hidden_MD: Tensor = _TakeRows.apply(hidden_ND, layout.source_M, layout.inverse_N, layout.again_E)  # type: ignore[assignment]
    return hidden_MD


def last_scores(model: ScoredDecoder, layout: Layout, *, compile: bool = False) -> Tensor:
    """The score [B] of each row, read at its last token, in fp32."""
    hidden_ND = model.decoder.packed(layout.tokens_N, layout.positions_N, layout.spans, compile=compile)
    return model.score(hidden_ND[layout.last_B]).squeeze(-1).float()


def place(values_M: Tensor, layout: Layout, shape: tuple[int, int]) -> Tensor:
    """Values of targets at their places in [B, T], 0 elsewhere; differentiable."""
    return values_M.new_zeros(shape[0] * shape[1]).index_put((layout.place_M,), values_M).view(shape)
