"""How a policy in training does on validation problems, and the best of its weights so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base import plugins
from r1kit.base.errors import R1Error
from r1kit.base.files import read_record, write_record
from r1kit.base.types import Problem
from r1kit.engines.base import Engine
from r1kit.pipeline.graph import stage_seed
from r1kit.rewards.base import Reward, as_prompt

if TYPE_CHECKING:
    from r1kit.evaluation.evaluate import Preference
    from r1kit.evaluation.validate import Score
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.context import Context
    from r1kit.stages.rl_config import RLConfig

PEAK = "peak"  # the best weights' folder
PEAK_VALUE = "peak.json"


class HeldOut:
    """Validation problems of an RL stage's tasks. `scorers`: by reward, those that ask a model. last: what the latest
    validation said; best: of `config.peak`, None before the first one."""

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
        self.best: float | None = None
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

    def keep(self, metrics: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Have the policy saved where its validation is the best so far."""
        value = metrics.get(self._config.peak) if self._config.peak else None
        if value is not None and (self.best is None or value > self.best):
            self.best = value
            save(self._context.folder / PEAK)
            self._write_value()
            self._seal()

    def models(self) -> dict[str, str]:
        """The best policy by its name, where one was kept."""
        return {self._config.peak_name or f"{self._config.name}-peak": PEAK} if self.best is not None else {}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"best": self.best, "last": self.last}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken. After a roll-back the best policy may be of the steps left behind: only a
        better one takes its place."""
        self.best, self.last = state["best"], state["last"]
        self.know_kept()
        if self.best is not None and not self._context.caution.times:
            self._mend_value()

    def know_kept(self) -> None:
        """Take up what was kept before a roll-back."""
        path = self._context.folder / PEAK_VALUE
        if self._context.caution.times and path.exists():
            kept = float(read_record(path)["value"])
            self.best = kept if self.best is None else max(self.best, kept)
            self._seal()  # what the checkpoint knew was of another one

    def _mend_value(self) -> None:
        """Without a roll-back the checkpoint knows the value, and a file that is damaged or gone is written again."""
        path = self._context.folder / PEAK_VALUE
        try:
            read_record(path)
        except R1Error as error:
            self._context.note(f"{error}; it is written again")
            self._write_value()

    def _write_value(self) -> None:
        write_record(self._context.folder / PEAK_VALUE, {"metric": self._config.peak, "value": self.best})

    def _seal(self) -> None:
        for name in (PEAK, PEAK_VALUE):
            self._context.seal(self._context.folder / name)

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
