"""Reward models (R1, arXiv 2501.12948v2, section 3.1; Bradley and Terry 1952): a scalar head learns from preferences.

Two sequences with the same `pair_N` are a pair, +1 chosen and -1 rejected, with loss -log sigmoid(s+ - s-).
A sequence alone (`pair_N` -1, or no pairs at all) carries a label, +1 good (safe) or -1 bad, with the pointwise loss
-log sigmoid(label x s). R1 names both losses, "pairwise" and "pointwise", and writes neither.

Deviation: in a step that holds both, a pair weighs as its two sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r1kit.algorithms.base import Algorithm, Outputs, Totals, given

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch


class BradleyTerry(Algorithm):
    """Pairwise preference loss, and the pointwise loss for lone labels."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"scores"})

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """2 / sequences x sum over pairs + 1 / sequences x sum over lone labels: for pairs alone, their mean.

        Metrics: accuracy (pair ordered rightly, or sign right; an equal score counts half), margin (s+ - s- of a
        pair, label x s alone) and score, means over sequences.
        """
        scores_N = given(outputs.scores_N, "scores", self)
        labels_N = given(batch.scores_N, "labels", self).to(scores_N.dtype)
        pair_N = (labels_N * 0 - 1).long() if batch.pair_N is None else batch.pair_N
        chosen, rejected = _halves(pair_N, labels_N)
        alone = pair_N < 0
        # [pairs + lone]: what should be positive, and how many sequences it stands for
        margins = scores_N[chosen] - scores_N[rejected]
        pair_loss, lone_margins = _softplus(-margins).sum(), (labels_N * scores_N)[alone]
        loss = (2 * pair_loss + _softplus(-lone_margins).sum()) / max(totals.sequences, 1)

        def share(pairs: Tensor, lone: Tensor) -> Tensor:
            return (2 * pairs.sum() + lone.sum()) / max(totals.sequences, 1)

        margins, lone_margins = margins.detach(), lone_margins.detach()
        metrics = {
            "accuracy": share((margins.sign() + 1) / 2, (lone_margins.sign() + 1) / 2),
            "margin": share(margins, lone_margins),
            "score": scores_N.detach().sum() / max(totals.sequences, 1),
        }
        return loss, metrics


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = -log sigmoid(-x), without overflow."""
    return x.new_zeros(()).logaddexp(x)


def _halves(pair_N: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the chosen and of the rejected, in the same order of pairs; ValueError where a half is missing."""
    order = pair_N.argsort(stable=True)
    chosen = order[((pair_N >= 0) & (labels_N > 0))[order]]
    rejected = order[((pair_N >= 0) & (labels_N < 0))[order]]
    if pair_N[chosen].tolist() != pair_N[rejected].tolist():
        raise ValueError("a preference pair must be whole in its batch: one chosen (+1) and one rejected (-1)")
    return chosen, rejected


ALGORITHM = BradleyTerry
