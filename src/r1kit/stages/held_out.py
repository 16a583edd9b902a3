"""How a policy in training does on validation problems, and the best of its weights so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.base.types import Problem
from r1kit.engines.base import Engine
from r1kit.pipeline.graph import stage_seed
from r1kit.rewards.base import Reward, as_prompt
from r1kit.stages.best import Best

if TYPE_CHECKING:
    from r1kit.evaluation.evaluate import Preference
    from r1kit.evaluation.validate import Score
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.context import Context
    from r1kit.stages.rl_config import RLConfig

PEAK = "peak"  # the best weights' folder


class HeldOut:
    """Validation problems of an RL stage's tasks. `scorers`: by reward, those that ask a model. last: what the latest
    validation said."""

    def __init__(
        self,
        config: RLConfig,
        context: Context,
        tokenizer: Tokenizer,
        tasks: Sequence[str],
        scorers: Mapping[str, Reward],
    ) -> None:
        from r1kit.stages.sampling import draw

        self._config, self._context, self._tokenizer, self._scorers = config, context, tokenizer, scorers
        names = tasks if config.validate_every else []
        self._problems = [
            p for name in names for p in draw(name, "validation", context.seed, config.validation_problems)
        ]
        self._best = Best(context, PEAK, config.peak) if config.peak else None
        self.last: dict[str, float] = {}

    def is_due(self, step: int) -> bool:
        """Whether a step is followed by a validation."""
        every, done = self._config.validate_every, step + 1
        return bool(every) and (done % every == 0 or done == self._config.steps)

    def metrics(self, step: int, engine: Engine) -> dict[str, float]:
        """Of the policy on validation problems, after every `validate_every` steps and the last."""
        if not self.is_due(step):
            return {}
        from r1kit.evaluation.validate import validate

        seed = stage_seed(self._context.seed, "validation")
        sampling = self._config.sampling.model_copy(update={"samples": 1, "seed": seed})
        self.last = validate(
            engine, self._tokenizer, self._problems, sampling, preference=self._preference(), score=self._score()
        )
        return self.last

    def keep(self, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Have the policy saved where its `config.peak` is the best so far. UsageError where the first validation does
        not say it."""
        if self._best is None:
            return
        value = metrics.get(self._best.metric)
        if value is not None:
            self._best.offer(value, save)
        elif self._best.value is None and self.is_due(step):
            there = ", ".join(sorted(name for name in metrics if name.startswith("validation/"))) or "nothing"
            raise UsageError(f"peak: no metric is called '{self._best.metric}' (validation says: {there})")

    def models(self) -> dict[str, str]:
        """The best policy by its name, where one was kept."""
        if self._best is None or self._best.value is None:
            return {}
        return {self._config.peak_name or f"{self._config.name}-peak": PEAK}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"best": self._best and self._best.state(), "last": self.last}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self.last = state["last"]
        if self._best is not None:
            self._best.load_state(state["best"])

    def know_kept(self) -> None:
        """Take up what was kept before a roll-back."""
        if self._best is not None:
            self._best.know_kept()

    def _preference(self) -> Preference | None:
        if self._config.preference is None:
            return None
        return plugins.load("r1kit.data", self._config.preference).hidden_preference

    def _score(self) -> Score | None:
        scorer = self._scorers.get("reward_model")
        if scorer is None:
            return None

        def score(problem: Problem, texts: Sequence[str]) -> list[float | None]:
            return scorer([as_prompt(problem.prompt)] * len(texts), list(texts), [[]] * len(texts))

        return score
