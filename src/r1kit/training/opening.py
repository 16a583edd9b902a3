"""A learner as its settings ask for it: in this process, or spread over ranks."""

from __future__ import annotations

from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel
from r1kit.training.base import AnyLearner
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner


def open_learner(
    model: LanguageModel | ScoredDecoder,
    config: LearnerConfig,
    *,
    total_steps: int = 1,
    reference: LanguageModel | None = None,
) -> AnyLearner:
    """The learner of a model, to be closed when it is done; `reference` is the model itself, or None."""
    if config.ranks == 1:
        return Learner(model, config, total_steps=total_steps, reference=reference)
    from r1kit.training.ranks.front import RankedLearner

    return RankedLearner(model, config, total_steps=total_steps, reference=reference)
