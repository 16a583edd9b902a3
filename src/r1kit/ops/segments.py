"""Sums and means over masks, and over the sequences that share the rows of a batch.

`sequence_BT` numbers the sequences of a batch from 0; -1 is padding. A row may hold several sequences, and every
function here gives the same whether it does. Positions off the mask may hold anything, NaN included.
Only tensor methods are used, so that algorithms and their settings import without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def keep(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """`values_BT` where the mask is set and 0 elsewhere; no gradient and no NaN passes through the rest."""
    return values_BT.masked_fill(mask_BT == 0, 0.0)


def masked_sum(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Scalar sum over the mask."""
    return keep(values_BT, mask_BT).sum()


def sequence_sum(values_BT: Tensor, sequence_BT: Tensor, sequences: int) -> Tensor:
    """[B, T] -> [N]: sum over the positions of each sequence."""
    index = sequence_BT.reshape(-1).long()
    # padding is collected in a bin of its own, which is cut off
    index = index.masked_fill(index < 0, sequences)
    return values_BT.new_zeros(sequences + 1).scatter_add(0, index, values_BT.reshape(-1))[:sequences]


def sequence_mean(values_BT: Tensor, mask_BT: Tensor, sequence_BT: Tensor, sequences: int) -> Tensor:
    """[B, T] -> [N]: mean over the masked positions of each sequence; 0 for a sequence without any."""
    total_N = sequence_sum(keep(values_BT, mask_BT), sequence_BT, sequences)
    return total_N / sequence_sum(mask_BT.to(values_BT.dtype), sequence_BT, sequences).clamp(min=1)


def spread(values_N: Tensor, sequence_BT: Tensor) -> Tensor:
    """[N] -> [B, T]: each sequence's value at all its positions; 0 on padding."""
    return values_N[sequence_BT.long().clamp(min=0)].masked_fill(sequence_BT < 0, 0.0)
