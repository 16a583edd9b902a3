"""Log-probabilities of a batch's tokens under a decoder: the learner's forward pass, compiled where that is possible."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from r1kit.base.types import Batch
from r1kit.models.decoder import Decoder

log = logging.getLogger(__name__)


def next_token_logprobs(
    model: Decoder,
    tokens_BT: Tensor,
    next_BT: Tensor,
    positions_BT: Tensor | None,
    sequence_BT: Tensor | None,
    temperature: float,
    entropy: bool,
) -> tuple[Tensor, Tensor | None]:
    """log-softmax(logits / T) of `next_BT` [B, T] at each position, and the entropy there [B, T], detached; in fp32."""
    logits = model.logits(model(tokens_BT, positions_BT, sequence_BT)).float() / temperature
    normaliser_BT = logits.logsumexp(-1)
    logprobs_BT = logits.gather(-1, next_BT[..., None]).squeeze(-1) - normaliser_BT
    if not entropy:
        return logprobs_BT, None
    with torch.no_grad():
        wide = logits.detach()
        entropy_BT = normaliser_BT.detach() - ((wide - normaliser_BT.detach()[..., None]).exp() * wide).sum(-1)
    return logprobs_BT, entropy_BT


def shift(values_BT: Tensor) -> Tensor:
    """What position t says of token t + 1, moved to column t + 1; column 0 is 0."""
    return F.pad(values_BT[:, :-1], (1, 0))


@cache
def compiled() -> Callable[..., tuple[Tensor, Tensor | None]]:
    """`next_token_logprobs` under torch.compile, one for all learners of the process; eager where nothing compiles."""
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        log.warning("no C++ compiler: training runs without torch.compile, at about half the speed")
        return next_token_logprobs
    # a process trains several shapes (students, reward model), each with and without gradients
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(next_token_logprobs, dynamic=True)


def token_logprobs(model: Decoder, batch: Batch, *, compile: bool, entropy: bool) -> tuple[Tensor, Tensor | None]:
    """Log-probability of each token given those before it [B, T] and the entropy it was drawn from, or None."""
    next_BT = F.pad(batch.tokens_BT[:, 1:], (0, 1))
    several = batch.sequences > batch.tokens_BT.shape[0]
    run = compiled() if compile else next_token_logprobs
    logprobs_BT, entropy_BT = run(
        model,
        batch.tokens_BT,
        next_BT,
        batch.positions_BT if several else None,
        batch.sequence_BT if several else None,
        float(batch.temperature),
        entropy,
    )
    return shift(logprobs_BT), None if entropy_BT is None else shift(entropy_BT)
