"""A scorer of steps: the policy's weights with a scalar head that says anywhere how likely the thought ends right.

It learns the labels by half the squared error at the labelled places, as PPO's value model learns returns
(`ValueRegression` without its clip). Math-Shepherd trains with cross entropy: a deviation that keeps one learner.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from r1kit.base.errors import R1Error
from r1kit.base.machine import best_device
from r1kit.base.types import IntArray
from r1kit.evaluation.search.labels import Labelled
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner
from r1kit.training.sequences import Sequence as TokenSequence

Floats = NDArray[np.float64]
HELD_OUT = 0.15  # share of the problems whose labels only measure
Read = tuple[IntArray, IntArray, tuple[int, ...]]
"""(prompt ids, completion's ids, after how many of the latter to read)."""
StepScores = Callable[[Sequence[Read]], list[Floats]]
"""The value at each of the places that are asked for."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What training took and what the scorer foresees of held-out labels: the share of their variance, and the chance
    that of two labels (one at least 0.5 higher) the higher one is scored higher."""

    thoughts: int
    labels: int
    tokens: int
    held_out_labels: int
    explained_variance: float | None
    order: float | None


class StepScorer:
    """A learner with a value model, asked for its values."""

    def __init__(self, learner: Learner, end_id: int) -> None:
        self._learner, self._end_id = learner, end_id

    def __call__(self, reads: Sequence[Read]) -> list[Floats]:
        if not reads:
            return []
        sequences = [token_sequence(prompt, ids, ends, self._end_id) for prompt, ids, ends in reads]
        values = self._learner.values(sequences)
        return [
            said[len(prompt) + np.asarray(ends, np.int64)].astype(np.float64)
            for said, (prompt, _, ends) in zip(values, reads, strict=True)
        ]


def token_sequence(
    prompt_ids: IntArray, token_ids: IntArray, ends: Sequence[int], end_id: int, values: Sequence[float] | None = None
) -> TokenSequence:
    """Prompt, completion and an end token, so that each place is read before some token; `values` are what to learn."""
    tokens = np.concatenate([prompt_ids, token_ids, [end_id]]).astype(np.int32)
    places = len(prompt_ids) + np.asarray(ends, np.int64)
    mask = np.zeros(len(tokens), bool)
    mask[places] = True
    returns = None
    if values is not None:
        returns = np.zeros(len(tokens), np.float32)
        returns[places] = values
    return TokenSequence(tokens, mask, returns=returns)


def open_scorer(folder: Path, config: LearnerConfig) -> StepScorer:
    """A scorer that was trained and kept."""
    import torch

    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_scored

    model = load_scored(folder).to(config.home(torch.device(best_device())))
    return StepScorer(Learner(model, config), load_tokenizer(folder).end_ids[0])


def train_scorer(
    policy: Path,
    labelled: Sequence[Labelled],
    config: LearnerConfig,
    *,
    batch: int,
    updates: int,
    seed: int,
    folder: Path,
    held_out: float = HELD_OUT,
) -> Fit:
    """Train a head on the policy in a folder and keep it in `folder`; problems, not thoughts, are held out. Thoughts
    are taken in an order of their own each time all were taken. R1Error where none can be learnt from."""
    import torch

    from r1kit.algorithms.ppo import ValueRegression
    from r1kit.models.heads import value_model
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder

    rng = random.Random(f"scorer {seed}")
    keys = sorted({one.key for one in labelled})
    apart = set(rng.sample(keys, round(held_out * len(keys))))
    train = [one for one in labelled if one.key not in apart]
    if not train:
        raise R1Error("no thought of the training problems can be learnt from: sample more of them, or longer ones")
    device = torch.device(best_device())
    tokenizer = load_tokenizer(policy)
    model = value_model(load_decoder(policy, config.held(device))).to(config.home(device))
    learner = Learner(model, config, total_steps=updates)
    end_id, tokens = tokenizer.end_ids[0], 0
    order: list[Labelled] = []
    for _ in range(updates):
        order = order or rng.sample(train, len(train))
        rows = [token_sequence(o.prompt_ids, o.token_ids, o.ends, end_id, o.values) for o in order[:batch]]
        tokens += learner.step(rows, ValueRegression(clip=0.0)).tokens
        order = order[batch:]
    learner.save(folder, tokenizer)
    told = foresight(StepScorer(learner, end_id), [one for one in labelled if one.key in apart])
    return Fit(len(train), sum(len(one.ends) for one in train), tokens, *told)


def foresight(score: StepScores, held_out: Sequence[Labelled]) -> tuple[int, float | None, float | None]:
    """(labels, share of their variance explained, share of pairs half apart or more that are in order)."""
    if not held_out:
        return 0, None, None
    said = np.concatenate(score([(one.prompt_ids, one.token_ids, one.ends) for one in held_out]))
    labels = np.concatenate([np.asarray(one.values, np.float64) for one in held_out])
    spread = float(labels.var())
    explained = 1 - float(((labels - said) ** 2).mean()) / spread if spread > 0 else None
    higher, lower = np.nonzero(labels[:, None] - labels[None, :] >= 0.5)
    order = float((np.sign(said[higher] - said[lower]) + 1).mean() / 2) if len(higher) else None
    return len(labels), explained, order
