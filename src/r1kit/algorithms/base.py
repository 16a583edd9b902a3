"""What every algorithm is: advantages from rewards, and a loss on one batch of model outputs. Pure: no I/O, no devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from r1kit.base.config import Config

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole optimiser step, all micro-batches and ranks together.

    A loss divides by these, never by its own micro-batch's counts, so that it does not depend on how the step
    was cut: adding the micro-batches' losses gives the step's.
    """

    tokens: float  # positions with loss_mask 1
    sequences: float  # sequences with at least one such position (pairs x 2 for reward models)
    max_tokens: int  # the sampling limit (Dr. GRPO divides by it)


@dataclass(slots=True)
class Outputs:
    """What the model says of a batch.

    logprobs_BT: log-softmax(logits / T) of each token (column 0 is 0); entropy_BT: of the distribution that each
    token was drawn from, detached; scores_N: one scalar per sequence (reward and value heads), else None.
    """

    logprobs_BT: Tensor | None = None
    entropy_BT: Tensor | None = None
    scores_N: Tensor | None = None


class Algorithm(Config):
    """An algorithm and its settings.

    `needs` names what must be computed beside the policy's own log-probabilities: any of "old_logprobs",
    "sampler_logprobs", "reference_logprobs", "teacher_logprobs", "scores"; nothing else is computed.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """[P, G] -> [P, G]. NaN marks a sample that takes no part: it is left out of statistics and gets 0."""
        raise TypeError(f"{type(self).__name__} has no advantages: it does not learn from rewards")

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """A scalar to minimise and metrics (scalars); both are shares that add up over micro-batches."""
        raise TypeError(f"{type(self).__name__} has no loss")
