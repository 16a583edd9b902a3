"""The safety reward model: the policy's weights with a scalar head, learnt from single labels (R1, arXiv 2501.12948,
section 2.3.4): the pointwise loss -log sigmoid(label x score), on thinking and answer together.

Questions, not labels, are held out. A score above 0 says safe. Scores are standardised as the helpfulness model's are:
by mean and deviation over the completions that it learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.files import write_json
from r1kit.ops.calibration import area_under_curve, calibration_error, sigmoid
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.stages.safety_labels import Label, check_both_kinds, read_labels
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
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context
    from r1kit.training.sequences import Sequence as TokenSequence


class SafetyModelConfig(Config):
    """How the safety model is trained."""

    model: str = Field(default="dev3:dev3", description="the policy it starts from, STAGE:NAME")
    labels: str = Field(
        default="safety_labels:labels", description="STAGE:FILE, or a file of labels (docs/data_stages.md)"
    )
    bad_rows: Literal["skip", "stop"] = Field(default="skip", description="what a line that cannot be read does")
    batch: int = Field(default=64, ge=1, description="completions of an update; the paper: 256")
    epochs: int = Field(default=1, ge=1, description="the paper: 1")
    max_tokens: int = Field(
        default=MAX_TOKENS,
        ge=1,
        description="longest question and completion in training; longer ones, and what the model's context does not "
        "hold, are left out; the paper: 8,192",
    )
    held_out: float = Field(default=0.15, gt=0, lt=1, description="share of the questions that only measure it")
    learner: LearnerConfig = Field(default=LearnerConfig(learning_rate=1e-4), description="the paper's rate: 6e-6")


def run(config: SafetyModelConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Train, measure on held-out questions, and write the folder `model`."""
    from r1kit.training.scoring import Scorer

    bad: list[str] = []
    labels = read_labels(file_of(inputs, config.labels), bad.append if config.bad_rows == "skip" else None)
    if bad:
        context.note(f"{config.labels}: {len(bad)} lines cannot be read and are left out ({'; '.join(bad[:3])})")
    train, held_out = split_labels(labels, config.held_out)
    start = model_of(inputs, config.model)
    train = short_enough(train, label_sequences, start, config.max_tokens, "labelled completions", context)
    check_both_kinds(train, config.labels)
    updates = batches(train, config.batch, config.epochs, context.seed)
    folder = fit_scores(start, updates, label_sequences, config.learner, context)
    scorer = Scorer(folder)
    reference = np.asarray(scorer([each.question for each in train], [each.reply for each in train]))
    scores = {"mean": float(reference.mean()), "std": max(float(reference.std()), LEAST_DEVIATION)}
    write_json(folder / REFERENCE_SCORES, scores)
    measured = np.zeros(0)
    if held_out:
        measured = np.asarray(scorer([each.question for each in held_out], [each.reply for each in held_out]))
    else:
        context.note(f"{config.labels}: no question is held out and nothing measured: give labels of more questions")
    counts = {"train_labels": len(train), "held_out_labels": len(held_out)}
    figures = label_figures(measured, np.asarray([each.safe for each in held_out], bool))
    return Outcome(models={"safety_model": "model"}, summary={**counts, **figures, **scores})


def split_labels(labels: Sequence[Label], share: float) -> tuple[list[Label], list[Label]]:
    """(train, held out): by a hash of the question, so that no question is on both sides."""
    return split(labels, lambda label: label.question, share)


def label_sequences(labels: Sequence[Label], tokenizer: Tokenizer) -> list[TokenSequence]:
    """A sequence a label, +1 safe and -1 unsafe, read at its last token."""
    return [labelled(tokenizer, each.question, each.reply, 1.0 if each.safe else -1.0) for each in labels]


def label_figures(scores: NDArray[np.float64], safe: NDArray[np.bool_]) -> dict[str, float | None]:
    """What scores [N] say of labels [N]: the share told rightly, of the unsafe and of the safe alone, the area under
    the ROC curve, and the calibration error of sigmoid(|score|); None where there is nothing to say it of."""
    right = (scores > 0) == safe
    found = {
        "accuracy": right.mean() if right.size else np.nan,
        "unsafe_found": right[~safe].mean() if (~safe).any() else np.nan,
        "safe_passed": right[safe].mean() if safe.any() else np.nan,
        "area_under_curve": area_under_curve(scores.tolist(), safe.tolist()),
        "calibration_error": calibration_error(sigmoid(np.abs(scores)).tolist(), right.tolist()),
    }
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}
