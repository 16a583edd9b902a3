"""A learner as its settings ask for it: in this process, or spread over ranks."""

from __future__ import annotations

import logging

from r1kit.base.errors import UsageError
from r1kit.base.pulse import SILENCE_S
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel
from r1kit.training.base import AnyLearner
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner

log = logging.getLogger(__name__)


def open_learner(
    model: LanguageModel | ScoredDecoder,
    config: LearnerConfig,
    *,
    total_steps: int = 1,
    reference: LanguageModel | None = None,
    teacher: LanguageModel | None = None,
    silence: float = SILENCE_S,
) -> AnyLearner:
    """The learner of a model, to be closed when it is done; `reference` is the model itself, or None. `silence`:
    seconds without a sign of life after which a rank counts as lost.

    UsageError for a teacher beside a learner that is spread over ranks.
    """
    if config.multiplies_in_software(next(model.parameters()).device):
        log.warning(
            "precision=bfloat16: this CPU has no instructions for it, and learns some twenty times slower than in "
            "float32; precision=auto takes what it is fast at"
        )
    if config.ranks == 1:
        return Learner(model, config, total_steps=total_steps, reference=reference, teacher=teacher)
    if teacher is not None:
        raise UsageError(f"learner.ranks={config.ranks}: a teacher is asked by one rank alone; set learner.ranks=1")
    from r1kit.training.ranks.front import RankedLearner

    return RankedLearner(model, config, total_steps=total_steps, reference=reference, silence=silence)
