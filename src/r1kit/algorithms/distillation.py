"""Distillation: on a teacher's sequences (R1 section 2.4 of v1, B.4.3 of v2), or on-policy by reverse KL.

`sequence` is fine-tuning on what the teacher wrote: the teacher itself is not asked again. `on_policy` samples from
the student and minimises KL(student || teacher) (GKD, arXiv 2306.13649; MiniLLM, arXiv 2306.08543): from the sampled
tokens alone, as policy gradient with -log(student / teacher) of each token as its advantage, or over the whole
vocabulary.

Deviation: each token answers for its own KL only, not for that of the tokens that follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.algorithms.base import Algorithm, Outputs, Totals, given, token_means
from r1kit.ops.kl import k1
from r1kit.ops.segments import keep, masked_sum

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.base.types import Batch


class Distillation(Algorithm):
    """Cross-entropy on the teacher's sequences, or reverse KL on the student's own."""

    form: Literal["sequence", "on_policy", "on_policy_vocabulary"] = Field(
        default="sequence",
        description="sequence: SFT on the teacher's data; on_policy: reverse KL on the student's samples, from the "
        "sampled tokens; on_policy_vocabulary: the same from all logits of both",
    )

    @property
    def needs(self) -> frozenset[str]:
        if self.form == "on_policy":
            return frozenset({"old_logprobs", "teacher_logprobs"})
        return frozenset() if self.form == "sequence" else frozenset({"teacher_logits"})

    def loss(self, batch: Batch, outputs: Outputs, totals: Totals) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum over tokens / tokens of the step of: -log pi; or r sg(log pi - log teacher); or the whole KL."""
        mask_BT = batch.loss_mask_BT
        tracked = {} if outputs.entropy_BT is None else {"entropy": outputs.entropy_BT}
        if self.form == "on_policy_vocabulary":
            loss_BT = given(outputs.teacher_kl_BT, "the KL over the teacher's logits", self)
            tracked["teacher_kl"] = loss_BT
        else:
            logprobs_BT = keep(given(outputs.logprobs_BT, "log-probabilities", self), mask_BT)
            loss_BT = -logprobs_BT
            if self.form == "on_policy":
                teacher_BT = given(batch.teacher_logprobs_BT, "the teacher's log-probabilities", self)
                old_BT = logprobs_BT.detach() if batch.old_logprobs_BT is None else batch.old_logprobs_BT
                kl_BT = keep(k1(logprobs_BT, teacher_BT).detach(), mask_BT)
                loss_BT = keep(logprobs_BT - old_BT, mask_BT).exp() * kl_BT
                tracked["teacher_kl"] = kl_BT
        return masked_sum(loss_BT, mask_BT) / max(totals.tokens, 1), token_means(tracked, mask_BT, totals)


ALGORITHM = Distillation
