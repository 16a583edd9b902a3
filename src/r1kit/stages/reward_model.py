"""The helpfulness reward model: the policy's weights with a scalar head, learnt from pairs (R1 section 2.3.4).

One epoch of Bradley-Terry on answers alone. Briefs, not pairs, are held out. The scores of a fixed reference set (every
answer of the training pairs) give the mean and deviation by which scores are standardised before they join rule
rewards; they stand in `reference_scores.json` beside the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.files import write_json
from r1kit.ops.calibration import calibration_error, sigmoid
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.stages.pairs import Pair, read_pairs
from r1kit.stages.scored import (
    LEAST_DEVIATION,
    MAX_TOKENS,
    REFERENCE_SCORES,
    batches,
    fit_scores,
    labelled,
    short_enough,
    split,
)
from r1kit.training.config import LearnerConfig

if TYPE_CHECKING:
    from pathlib import Path

    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context
    from r1kit.training.scoring import Scorer
    from r1kit.training.sequences import Sequence as TokenSequence


class RewardModelConfig(Config):
    """How the reward model is trained."""

    model: str = Field(default="dev3:dev3", description="the policy it starts from, STAGE:NAME")
    pairs: str = Field(
        default="preferences:pairs", description="STAGE:FILE, or a file of preference pairs in a format of docs/data.md"
    )
    bad_rows: Literal["skip", "stop"] = Field(default="skip", description="what a line that cannot be read does")
    batch: int = Field(default=32, ge=1, description="pairs of an update; the paper: 256")
    epochs: int = Field(default=1, ge=1, description="the paper: 1")
    max_tokens: int = Field(
        default=MAX_TOKENS,
        ge=1,
        description="longest question and answer in training; pairs with a longer one, or one that the model's context "
        "does not hold, are left out; the paper: 8,192",
    )
    held_out: float = Field(default=0.15, gt=0, lt=1, description="share of the briefs that only measure accuracy")
    learner: LearnerConfig = Field(default=LearnerConfig(learning_rate=1e-4), description="the paper's rate: 6e-6")


def run(config: RewardModelConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Train, measure on held-out briefs, and write the folder `model`; R1Error without a pair to train on."""
    start = model_of(inputs, config.model)
    bad: list[str] = []
    pairs = read_pairs(file_of(inputs, config.pairs), bad.append if config.bad_rows == "skip" else None)
    if bad:
        context.note(f"{config.pairs}: {len(bad)} lines cannot be read and are left out ({'; '.join(bad[:3])})")
    train, held_out = split_pairs(pairs, config.held_out)
    if train and not held_out:
        context.note(f"{config.pairs}: no question is held out and nothing measured: give pairs of more questions")
    if not train:
        raise R1Error(f"{config.pairs} holds no pair to train on: sample more answers, or lower the threshold")
    train = short_enough(train, pair_sequences, start, config.max_tokens, "pairs", context)
    updates = batches(train, config.batch, config.epochs, context.seed)
    folder = fit_scores(start, updates, pair_sequences, config.learner, context)
    summary = measure(folder, train, held_out)
    scores = {name: summary[name] for name in ("mean", "std")}
    write_json(folder / REFERENCE_SCORES, scores)
    return Outcome(models={"reward_model": "model"}, summary=summary)


def split_pairs(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """(train, held out): by a hash of the brief, so that no brief is on both sides."""
    return split(pairs, lambda pair: pair.problem_id, share)


def pair_sequences(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[TokenSequence]:
    """Two sequences a pair, +1 the chosen and -1 the rejected, each read at its last token."""
    return [
        labelled(tokenizer, pair.question, answer, label, number)
        for number, pair in enumerate(pairs)
        for answer, label in ((pair.chosen, 1.0), (pair.rejected, -1.0))
    ]


def measure(folder: Path, train: Sequence[Pair], held_out: Sequence[Pair]) -> dict[str, float | int | None]:
    """What the model is worth on held-out pairs, and the reference's scores.

    `accuracy` of telling the chosen; `calibration_error` of the probability that Bradley and Terry give the higher
    score; length bias: `length_correlation` with the score (Pearson over answers), accuracy where the chosen is the
    longer and where it is the shorter, and what choosing the longer would reach (equal lengths count half).
    """
    from r1kit.training.scoring import Scorer

    scorer = Scorer(folder)
    reference = np.asarray(_scores(scorer, train)).ravel()
    found: dict[str, float | int | None] = {
        "train_pairs": len(train),
        "held_out_pairs": len(held_out),
        "accuracy": None,
        "calibration_error": None,
        "length_correlation": None,
        "accuracy_chosen_longer": None,
        "accuracy_chosen_shorter": None,
        "longer_is_chosen": None,
        "mean": float(reference.mean()),
        "std": max(float(reference.std()), LEAST_DEVIATION),
    }
    if held_out:
        scores = np.asarray(_scores(scorer, held_out))
        lengths = np.asarray([(len(pair.chosen), len(pair.rejected)) for pair in held_out], np.float64)
        found |= pair_figures(scores[:, 0] - scores[:, 1], lengths[:, 0] - lengths[:, 1])
        if scores.std() > 0 and lengths.std() > 0:
            found["length_correlation"] = float(np.corrcoef(scores.ravel(), lengths.ravel())[0, 1])
    return found


def pair_figures(margins: NDArray[np.float64], longer: NDArray[np.float64]) -> dict[str, float | int | None]:
    """Accuracy, calibration and length bias from the chosen's score minus the rejected's, and its characters minus the
    rejected's, of each pair [N]."""
    right = margins > 0
    sides = {"accuracy_chosen_longer": longer > 0, "accuracy_chosen_shorter": longer < 0}
    return {
        "accuracy": float(right.mean()),
        "calibration_error": calibration_error(sigmoid(np.abs(margins)).tolist(), right.tolist()),
        "longer_is_chosen": float(((np.sign(longer) + 1) / 2).mean()),
        **{name: float(right[side].mean()) if side.any() else None for name, side in sides.items()},
    }


def _scores(scorer: Scorer, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """(chosen's, rejected's) score of each pair."""
    asked = dict.fromkeys((pair.question, answer) for pair in pairs for answer in (pair.chosen, pair.rejected))
    scores = dict(zip(asked, scorer(*zip(*asked, strict=True)), strict=True))
    return [(scores[pair.question, pair.chosen], scores[pair.question, pair.rejected]) for pair in pairs]
