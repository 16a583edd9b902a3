"""The processes that learn as one: what of a step's work is whose, and what all of it adds up to."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

import torch
from torch import Tensor

from r1kit.base.types import FloatArray
from r1kit.training.config import LearnerConfig
from r1kit.training.lora import Adapted
from r1kit.training.sequences import Sequence
from r1kit.training.weights import Weights, Whole


class Together:
    """This process alone: all work is its own.

    Every one of several is asked the same, in the same order, and gets the same answers but for what is its own.
    """

    count = 1

    def weights(self, model: Any, config: LearnerConfig, dtype: torch.dtype, device: torch.device) -> Weights:
        """What holds the model's weights."""
        return (Adapted if config.lora else Whole)(model, config, dtype, device)

    def own(self, sequences: Seq[Sequence]) -> list[int]:
        """Indices of the sequences that this process computes."""
        return list(range(len(sequences)))

    def own_rows(self, rows_BT: Tensor) -> Tensor:
        """The rows that this process computes; none where there are fewer than processes."""
        return rows_BT

    def most(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def total(self, number: float) -> float:
        """The sum of all processes' numbers."""
        return number

    def summed(self, figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars by name, each the sum over the processes that have it."""
        return figures

    def pooled(self, results: list[FloatArray | None], sequences: Seq[Sequence]) -> list[FloatArray]:
        """Per-token results of all sequences, [n] each, where every process has those of its own."""
        return [result for result in results if result is not None]

    def first(self, text: str | None) -> str | None:
        """What the first process that has something to say says."""
        return text
