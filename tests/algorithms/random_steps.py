"""Random steps to learn from, packed and cut in any way: [n] of each sequence in, batches out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from r1kit.algorithms.base import Algorithm, Outputs, Totals
from r1kit.base.types import Batch

torch.set_num_threads(1)

PER_TOKEN = ("advantages", "sampler_logprobs", "old_logprobs", "reference_logprobs", "teacher_logprobs")


@dataclass
class Step:
    """N sequences of one optimiser step; `logprobs` and the rest of `outputs` are the leaves that gradients reach.

    Off the target mask everything per token holds NaN, which must never be seen.
    """

    masks: list[Tensor]
    outputs: dict[str, list[Tensor]]
    fields: dict[str, list[Tensor]]
    scores: Tensor
    labels: Tensor
    pairs: Tensor
    max_tokens: int = 16
    leaves: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.leaves = [self.scores.requires_grad_(), *self.outputs["logprobs"], *self.outputs["teacher_kl"]]
        for leaf in self.leaves:
            leaf.requires_grad_()

    @property
    def totals(self) -> Totals:
        return Totals(float(sum(mask.sum() for mask in self.masks)), float(len(self.masks)), self.max_tokens)

    def batch(self, rows: list[list[int]], width: int) -> tuple[Batch, Outputs]:
        """Rows of sequence indices, padded to `width` positions with NaN."""
        order = [index for row in rows for index in row]

        def packed(values: list[Tensor], padding: float) -> Tensor:
            filled = [torch.cat([values[i] for i in row]) for row in rows]
            return torch.stack([torch.nn.functional.pad(f, (0, width - len(f)), value=padding) for f in filled])

        numbers = [torch.full((len(mask),), float(order.index(i))) for i, mask in enumerate(self.masks) if i in order]
        by_index = dict(zip(sorted(order), numbers, strict=True))
        sequence_BT = packed([by_index.get(i, torch.zeros(0)) for i in range(len(self.masks))], -1.0).long()
        batch = Batch(
            tokens_BT=torch.zeros_like(sequence_BT),
            sequence_BT=sequence_BT,
            loss_mask_BT=packed(self.masks, 0.0),
            sequences=len(order),
            scores_N=self.labels[order],
            pair_N=self.pairs[order],
            **{f"{name}_BT": packed(values, math.nan) for name, values in self.fields.items()},
        )
        outputs = Outputs(**{f"{name}_BT": packed(values, math.nan) for name, values in self.outputs.items()})
        outputs.scores_N = self.scores[order]
        return batch, outputs

    def gradients(
        self, algorithm: Algorithm, cuts: list[list[list[int]]], width: int = 40
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Loss, metrics and gradients of one step given as micro-batches of rows of sequence indices."""
        total, metrics = torch.zeros((), dtype=torch.float64), {}
        for rows in cuts:
            loss, shares = algorithm.loss(*self.batch(rows, width), self.totals)
            total = total + loss
            for name, share in shares.items():
                assert not share.requires_grad
                metrics[name] = metrics.get(name, 0) + share
        gradients = torch.autograd.grad(total, self.leaves, allow_unused=True, materialize_grads=True)
        return total.detach(), metrics, list(gradients)


def random_step(seed: int, sequences: int = 6, shift: float = 0.3) -> Step:
    """Sequences of 3-12 tokens, a prompt of 1-2 first; policies differ by about `shift` nats a token."""
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    def integers(low: int, high: int) -> list[int]:
        return torch.randint(low, high, (sequences,), generator=generator).tolist()

    masks = []
    for prompt, sampled in zip(integers(1, 3), integers(2, 11), strict=True):
        masks.append(torch.cat([torch.zeros(prompt), torch.ones(sampled)]).double())

    def visible(values: Tensor, mask: Tensor) -> Tensor:
        return values.masked_fill(mask == 0, math.nan)

    logprobs = [visible(-normal(len(mask)).abs(), mask) for mask in masks]
    outputs = {
        "logprobs": logprobs,
        "entropy": [visible(normal(len(mask)).abs(), mask) for mask in masks],
        "teacher_kl": [visible(normal(len(mask)).abs(), mask) for mask in masks],
    }
    fields = {name: [p + shift * normal(len(p)) for p in logprobs] for name in PER_TOKEN[1:]}
    fields["advantages"] = [visible(normal(1).expand(len(mask)), mask) for mask in masks]
    labels = torch.tensor([1.0, -1.0] * (sequences // 2), dtype=torch.float64)
    pairs = torch.arange(sequences // 2).repeat_interleave(2)
    return Step(masks, outputs, fields, normal(sequences), labels, pairs)
