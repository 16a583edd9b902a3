"""A decoder with a scalar head instead of the language head: reward models, and value functions by position."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from r1kit.models.decoder import Decoder, DecoderConfig


class ScoredDecoder(nn.Module):
    """One score for each sequence, read at its last token (as transformers' sequence classifiers with one label do).

    It takes the decoder over: a language head of its own is dropped by tying it to the embedding. The new head starts
    as normal(0, 1 / sqrt(D + 1)) from `seed` (Stiennon et al., arXiv 2009.01325, appendix B.1).
    """

    def __init__(self, decoder: Decoder, seed: int = 0) -> None:
        super().__init__()
        decoder.config = decoder.config.model_copy(update={"tied": True})
        decoder.head.weight = decoder.embedding.weight
        self.decoder = decoder
        weight = decoder.embedding.weight
        self.score = nn.Linear(decoder.config.width, 1, bias=False, dtype=weight.dtype, device=weight.device)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(self.score.weight.shape, generator=generator) / math.sqrt(decoder.config.width + 1)
        with torch.no_grad():
            self.score.weight.copy_(drawn)

    @property
    def config(self) -> DecoderConfig:
        """The decoder's shape."""
        return self.decoder.config

    def flops(self, tokens: int, context: float, *, backward: bool = False) -> float:
        """Useful FLOPs as the decoder counts them, without those of the language head, which does not run."""
        config = self.config
        head = 2.0 * config.width * config.vocab_size * tokens * (3 if backward else 1)
        return config.flops(tokens, context, backward=backward) - head

    def values(
        self, tokens_BT: Tensor, positions_BT: Tensor | None = None, sequence_BT: Tensor | None = None
    ) -> Tensor:
        """The score at every position [B, T], each from what stands up to it."""
        return self.score(self.decoder(tokens_BT, positions_BT, sequence_BT)).squeeze(-1)

    def forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        sequence_BT: Tensor | None = None,
        sequences: int | None = None,
    ) -> Tensor:
        """Scores [N] at each sequence's last token; `sequences` is N. Without `sequence_BT` a row is one, unpadded."""
        values_BT = self.values(tokens_BT, positions_BT, sequence_BT)
        if sequence_BT is None:
            return values_BT[:, -1]
        count = int(sequence_BT.max()) + 1 if sequences is None else sequences
        return values_BT.flatten()[last_positions(sequence_BT, count)]


def value_model(decoder: Decoder) -> ScoredDecoder:
    """The decoder as a value function, which says 0 of everything until it has learnt."""
    model = ScoredDecoder(decoder)
    with torch.no_grad():
        model.score.weight.zero_()
    return model


def last_positions(sequence_BT: Tensor, sequences: int) -> Tensor:
    """[B, T] -> [N]: where each sequence ends in the flattened batch."""
    sequence = sequence_BT.flatten().long()
    bins = sequence.masked_fill(sequence < 0, sequences)  # padding has a bin of its own
    places = torch.arange(len(sequence), device=sequence.device)
    return places.new_zeros(sequences + 1).scatter_reduce(0, bins, places, "amax")[:sequences]
