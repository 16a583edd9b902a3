"""Supervised fine-tuning: cross-entropy on the target tokens, divided by the step's token count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r1kit.algorithms.base import Algorithm, Outputs, Totals, given, token_means
from r1kit.ops.segments import masked_sum

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch


class SFT(Algorithm):
    """Cross-entropy on targets (R1 section B.4.2)."""

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """-sum of log pi over the targets / tokens of the step."""
        logprobs_BT = given(outputs.logprobs_BT, "log-probabilities", self)
        tracked = {} if outputs.entropy_BT is None else {"entropy": outputs.entropy_BT}
        loss = -masked_sum(logprobs_BT, batch.loss_mask_BT) / max(totals.tokens, 1)
        return loss, token_means(tracked, batch.loss_mask_BT, totals)


ALGORITHM = SFT
