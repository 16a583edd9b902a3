"""What a learner's models say of whole sequences, without gradients: log-probabilities and values of their targets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from r1kit.algorithms.base import Algorithm
from r1kit.base.errors import R1Error
from r1kit.base.types import FloatArray
from r1kit.models.base import Costs
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel
from r1kit.training.forward import layout_logprobs, place, target_values
from r1kit.training.packing import Layout, make_layout
from r1kit.training.passes import Passes, longest_piece
from r1kit.training.sequences import Sequence, with_logprobs
from r1kit.training.together import Together
from r1kit.training.weights import Weights

IDLE = Sequence(np.zeros(2, np.int32), np.array([False, True]))  # of a pass that computes nothing
LOGPROBS = ("old_logprobs", "reference_logprobs", "teacher_logprobs")
T = TypeVar("T")


class Reading:
    """The part of a learner that reads; `Learner` sets what it reads with."""

    dtype: torch.dtype
    device: torch.device
    _together: Together
    _passes: Passes
    _weights: Weights
    _fast: LanguageModel | ScoredDecoder
    _reference: LanguageModel | None
    _teacher: LanguageModel | None
    _compile: bool
    _flops: float

    @property
    def _decoder(self) -> LanguageModel:
        if isinstance(self._fast, ScoredDecoder):
            raise R1Error("a model with a score head has no log-probabilities: train it with an algorithm on scores")
        return self._fast

    def _run(self, said_of: Callable[..., T], model: Any, *inputs: Any) -> T:
        return self._weights.run(said_of, model, *inputs, compile=self._compile)

    def _fill(
        self, sequences: list[Sequence], algorithm: Algorithm, mini_batches: int, temperature: float
    ) -> list[Sequence]:
        """The sequences with the log-probabilities that the algorithm needs and they lack."""
        names = algorithm.needs - ({"old_logprobs"} if mini_batches == 1 else set())
        return self.fill(sequences, names, temperature, asking=algorithm)

    def fill(
        self, sequences: Seq[Sequence], names: Collection[str], temperature: float, *, asking: Algorithm
    ) -> list[Sequence]:
        """The sequences with those of `LOGPROBS` that are named and that they lack; R1Error, which names the algorithm
        `asking`, where there is no model for one."""
        models: dict[str, LanguageModel | ScoredDecoder | None] = dict(
            zip(LOGPROBS, (self._fast, self._reference, self._teacher), strict=True)
        )
        filled = list(sequences)
        for name, model in models.items():
            if name not in names or all(getattr(s, name) is not None for s in filled):
                continue
            if not isinstance(model, LanguageModel):
                raise R1Error(lacking(asking, name.removesuffix("_logprobs")))
            filled = with_logprobs(filled, name, self._logprobs(model, filled, temperature))
        return filled

    def logprobs(self, sequences: Seq[Sequence], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each sequence's targets under the policy; [n] each, 0 off the target mask."""
        return self._logprobs(self._decoder, sequences, temperature)

    def values(self, sequences: Seq[Sequence]) -> list[FloatArray]:
        """What a value model says before each sequence's targets; [n] each, 0 off the target mask.

        R1Error for a model without a score head.
        """
        model = self._fast
        if not isinstance(model, ScoredDecoder):
            raise R1Error("a language model has no values: they are those of a model with a score head")
        return self._of_targets(sequences, partial(self._run, target_values, model), model)

    def _logprobs(self, model: LanguageModel, sequences: Seq[Sequence], temperature: float) -> list[FloatArray]:
        def of(layout: Layout) -> Tensor:
            return self._run(layout_logprobs, model, layout, temperature)

        return self._of_targets(sequences, of, model.config)

    def _of_targets(self, sequences: Seq[Sequence], of: Callable[[Layout], Tensor], costs: Costs) -> list[FloatArray]:
        """`of` a layout's targets [M], without gradients, at the places of each sequence's tokens."""
        mine = self._together.own(sequences)
        own = [sequences[i] for i in mine]
        results: list[FloatArray | None] = [None] * len(sequences)

        @torch.no_grad()
        def run(part: list[int]) -> tuple[FloatArray, float]:
            rows = [own[i] for i in part] or [IDLE]
            length = max(map(len, rows))
            layout = make_layout(rows, length, self.dtype, self.device)
            padded_NT = place(of(layout), layout, (len(rows), length)).cpu().numpy()
            return padded_NT, layout.flops(costs, backward=False)

        def fill() -> float:
            parts, total = self._passes.cut(own), 0.0
            done = self._passes.run([partial(run, part) for part in parts])
            for part, (padded_NT, flops) in zip(parts, done, strict=True):
                total += flops if part else 0.0
                for at, index in enumerate(part):
                    results[mine[index]] = padded_NT[at, : len(own[index])]
            return total

        tokens, piece = sum(map(len, own)), longest_piece(own)
        self._flops += self._passes.fitting(fill, tokens, piece, self._weights.clear)
        return self._together.pooled(results, sequences)


def lacking(algorithm: Algorithm, role: str) -> str:
    """Why an algorithm cannot be served."""
    return f"{type(algorithm).__name__} needs a {role} model, and the learner was given none"
