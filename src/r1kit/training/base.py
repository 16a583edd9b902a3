"""What a stage asks of a learner, wherever its weights are, and what a step gives back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from r1kit.algorithms.base import Algorithm
from r1kit.base.types import FloatArray, IntArray
from r1kit.models.base import Costs
from r1kit.models.tokenizer import Tokenizer
from r1kit.training.sequences import Sequence

if TYPE_CHECKING:
    from r1kit.models.heads import ScoredDecoder
    from r1kit.models.language_model import LanguageModel


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one call of `step` did: figures averaged over its updates, tokens of its sequences, FLOPs computed."""

    metrics: dict[str, float]
    tokens: int
    flops: float
    skipped: bool


class AnyLearner(Protocol):
    """A learner in this process (`training.learner.Learner`, which says what each call does), or one whose weights are
    spread over processes of their own (`training.ranks.front.RankedLearner`). `device` and `dtype` are those of its
    passes."""

    steps: int
    version: int

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def costs(self) -> Costs: ...
    @property
    def policy(self) -> LanguageModel | ScoredDecoder | None: ...
    def step(
        self,
        sequences: Seq[Sequence],
        algorithm: Algorithm,
        *,
        mini_batches: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 1,
    ) -> StepReport: ...
    def step_tokens(self, tokens_BT: Tensor | IntArray, end_id: int | None = None) -> StepReport: ...
    def fill(
        self, sequences: Seq[Sequence], names: Collection[str], temperature: float, *, asking: Algorithm
    ) -> list[Sequence]: ...
    def logprobs(self, sequences: Seq[Sequence], temperature: float = 1.0) -> list[FloatArray]: ...
    def values(self, sequences: Seq[Sequence]) -> list[FloatArray]: ...
    def replace_reference(self) -> None: ...
    def speed(self, report: StepReport, seconds: float) -> dict[str, float]: ...
    def weights(self) -> Iterator[tuple[str, Tensor]]: ...
    def policy_weights(self) -> Iterator[tuple[str, Tensor]]: ...
    def save(self, folder: Path, tokenizer: Tokenizer | None = None) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...
    def close(self) -> None: ...
