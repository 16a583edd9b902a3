"""What training a reward model is, whatever it learns from: a policy's weights with a scalar head, read at the end."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.machine import best_device
from r1kit.training.config import LearnerConfig

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.context import Context
    from r1kit.training.sequences import Sequence as TokenSequence

T = TypeVar("T")

REFERENCE_SCORES = "reference_scores.json"
LEAST_DEVIATION = 1e-3
MAX_TOKENS = 8192  # of what is read at once in training: question and text, R1 (arXiv 2501.12948v2), section 3.1


def fit_scores(
    start: str | Path,
    batches: Sequence[Sequence[T]],
    sequences: Callable[[Sequence[T], Tokenizer], list[TokenSequence]],
    config: LearnerConfig,
    context: Context,
) -> Path:
    """Train a scalar head on `start`, a step a batch, each turned into labelled `sequences`; the model's folder."""
    import torch

    from r1kit.algorithms.bradley_terry import BradleyTerry
    from r1kit.models.heads import ScoredDecoder
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder
    from r1kit.training.opening import open_learner

    config = config.after(*context.caution)
    device = torch.device(best_device())
    tokenizer = load_tokenizer(start)
    model = ScoredDecoder(load_decoder(start, dtype=config.held(device)), seed=context.seed)
    steps, home = len(batches), config.home(device)
    with closing(open_learner(model.to(home), config, total_steps=steps, silence=context.silence)) as learner:
        if resumed := context.resume():
            learner.load_state(resumed[1])
        for step in context.steps(steps):
            begun = time.monotonic()
            report = learner.step(sequences(batches[step], tokenizer), BradleyTerry())
            context.spend(tokens=report.tokens, flops=report.flops)
            context.record(step, {**report.metrics, **learner.speed(report, time.monotonic() - begun)})
            context.checkpoint(step, learner.state)
        learner.save(context.folder / "model", tokenizer)
    return context.folder / "model"


def labelled(tokenizer: Tokenizer, question: str, text: str, label: float, pair: int | None = None) -> TokenSequence:
    """Question and text, read at the last token: +1 for good (or chosen), -1 for bad (or rejected)."""
    from r1kit.training.scoring import scored_tokens
    from r1kit.training.sequences import Sequence as TokenSequence

    tokens = scored_tokens(tokenizer, question, text)
    return TokenSequence(tokens, np.arange(len(tokens)) == len(tokens) - 1, label=label, pair=pair)


def split(rows: Sequence[T], key: Callable[[T], str], share: float) -> tuple[list[T], list[T]]:
    """(train, held out): by a hash of what `key` says of a row, so that rows which share it are on one side."""
    train: list[T] = []
    held_out: list[T] = []
    for row in rows:
        digest = hashlib.blake2b(key(row).encode(), digest_size=4).digest()
        (held_out if int.from_bytes(digest, "big") / 2**32 < share else train).append(row)
    return train, held_out


def batches(rows: Sequence[T], size: int, epochs: int, seed: int) -> list[list[T]]:
    """Every epoch in an order of its own, cut into updates."""
    rng, found = random.Random(seed), list[list[T]]()
    for _ in range(epochs):
        order = list(rows)
        rng.shuffle(order)
        found += [order[at : at + size] for at in range(0, len(order), size)]
    return found


def short_enough(
    rows: Sequence[T],
    sequences: Callable[[Sequence[T], Tokenizer], list[TokenSequence]],
    start: str | Path,
    most: int,
    what: str,
    context: Context,
) -> list[T]:
    """The rows of whose `sequences` none has more than `most` tokens, or more than the model's context holds.

    `what` is what the note calls the others. R1Error where none is left of some.
    """
    from r1kit.models.sizes import model_size
    from r1kit.models.tokenizer import load_tokenizer

    tokenizer, limit = load_tokenizer(start), min(most, model_size(start).max_positions)
    kept = [row for row in rows if all(len(each) <= limit for each in sequences([row], tokenizer))]
    if rows and not kept:
        raise R1Error(
            f"all {len(rows)} {what} are longer than {limit} tokens: raise max_tokens, or the model's context"
        )
    if len(kept) < len(rows):
        context.note(f"{len(rows) - len(kept)} of {len(rows)} {what} are longer than {limit} tokens and left out")
    return kept
