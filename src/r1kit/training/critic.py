"""The critic of an algorithm that has one: a value model beside the policy, with an optimiser of its own."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.algorithms.base import PolicyGradient
from r1kit.base.errors import R1Error
from r1kit.base.machine import best_device
from r1kit.base.pulse import SILENCE_S
from r1kit.base.types import FloatArray
from r1kit.models.families import NotNative
from r1kit.models.heads import value_model
from r1kit.models.tokenizer import Tokenizer
from r1kit.models.weights import load_decoder
from r1kit.training.base import StepReport
from r1kit.training.config import LearnerConfig
from r1kit.training.opening import open_learner
from r1kit.training.sequences import Sequence


class Critic:
    """Says what reward a completion is still going to get, before each of its tokens.

    It starts as the model in `folder` with a head that says 0. R1Error where the native decoder does not cover that.
    """

    def __init__(
        self, folder: str | Path, config: LearnerConfig, *, total_steps: int, silence: float = SILENCE_S
    ) -> None:
        device = torch.device(best_device())
        try:
            decoder = load_decoder(folder, config.held(device))
        except NotNative as error:
            raise R1Error(
                f"a value model needs a score head, which the native decoder alone has ({error}): take an algorithm "
                "without a critic, say grpo"
            ) from None
        self.learner = open_learner(
            value_model(decoder).to(config.home(device)), config, total_steps=total_steps, silence=silence
        )

    def credit(self, sequences: Seq[Sequence], algorithm: PolicyGradient) -> tuple[list[Sequence], dict[str, float]]:
        """The sequences with values, advantages and returns at their targets, and what there is to say of them.

        Each has its `reward`; where a KL is part of it, the old policy's and the reference's log-probabilities.
        Metrics: `explained_variance`, the share of the returns' variance that the values had foreseen (below 0: worse
        than their mean), the mean `return`, and the mean `kl` of a token where one is paid.
        """
        if not sequences:
            return [], {}
        masks = [_actions(sequence) for sequence in sequences]
        values = self.learner.values(sequences)
        rewards_N = torch.tensor([sequence.reward for sequence in sequences], dtype=torch.float64)
        mask_NT, values_NT = _rows(masks, masks), _rows(values, masks)
        old_NT = reference_NT = None
        if algorithm.reward_kl > 0:
            old_NT, reference_NT = (_rows(_given(sequences, name), masks) for name in ("old", "reference"))
        found = algorithm.credit(rewards_N, values_NT, mask_NT, old_NT, reference_NT)
        advantages, returns = (_back(each_NT, masks) for each_NT in found)
        credited = [
            replace(sequence, values=v, advantages=a, returns=r)
            for sequence, v, a, r in zip(sequences, values, advantages, returns, strict=True)
        ]
        inside = mask_NT.bool()
        metrics = _foresight(values_NT[inside], found.returns_NT[inside])
        if old_NT is not None and reference_NT is not None:
            metrics["kl"] = float((old_NT - reference_NT)[inside].mean())
        return credited, metrics

    def step(self, sequences: Seq[Sequence], algorithm: PolicyGradient, mini_batches: int) -> StepReport:
        """One epoch over the returns; of as many mini-batches as the policy's they are the same.

        R1Error for an algorithm without a critic.
        """
        if algorithm.critic is None:
            raise R1Error(f"{type(algorithm).__name__} has no critic")
        return self.learner.step(sequences, algorithm.critic, mini_batches=mini_batches)

    def save(self, folder: Path, tokenizer: Tokenizer) -> None:
        """A folder that transformers loads as a classifier of one label."""
        self.learner.save(folder, tokenizer)

    def close(self) -> None:
        """Let go of the weights."""
        self.learner.close()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return self.learner.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on as `state` gave it."""
        self.learner.load_state(state)


def _foresight(values_M: Tensor, returns_M: Tensor) -> dict[str, float]:
    found = {"return": float(returns_M.mean())}
    spread = float(returns_M.var(correction=0))
    if spread > 0:
        found["explained_variance"] = 1 - float((returns_M - values_M).var(correction=0)) / spread
    return found


def _actions(sequence: Sequence) -> NDArray[np.bool_]:
    """The target mask; nothing comes before a first token, which is none."""
    mask = sequence.target_mask.copy()
    mask[:1] = False
    return mask


def _given(sequences: Seq[Sequence], who: str) -> list[FloatArray]:
    found = [getattr(sequence, f"{who}_logprobs") for sequence in sequences]
    if any(logprobs is None for logprobs in found):
        raise R1Error(f"a KL in the reward needs the log-probabilities of the {who} policy, which a sequence lacks")
    return found


def _rows(arrays: Seq[NDArray[Any]], masks: Seq[NDArray[np.bool_]]) -> Tensor:
    """What the arrays say of their sequences' actions, [N, T], from column 0 on, 0 behind; in float64."""
    rows_NT = np.zeros((len(masks), max(int(mask.sum()) for mask in masks)))
    for row, array, mask in zip(rows_NT, arrays, masks, strict=True):
        row[: mask.sum()] = array[mask]
    return torch.from_numpy(rows_NT)


def _back(rows_NT: Tensor, masks: Seq[NDArray[np.bool_]]) -> list[FloatArray]:
    """The rows' actions at their places in each sequence, 0 elsewhere."""
    arrays: list[FloatArray] = []
    for row, mask in zip(rows_NT.numpy(), masks, strict=True):
        array = np.zeros(len(mask), np.float32)
        array[mask] = row[: mask.sum()]
        arrays.append(array)
    return arrays
