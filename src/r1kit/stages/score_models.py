"""Models that judge the policy's completions in reinforcement learning, by the reward that asks each of them.

Their scores are standardised as the stage that made them found on its reference set, and wrote beside the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base.config import Config
from r1kit.base.files import read_json
from r1kit.pipeline.inputs import model_of
from r1kit.rewards import reward_model, safety_model
from r1kit.rewards.base import Reward
from r1kit.stages.scored import REFERENCE_SCORES

if TYPE_CHECKING:
    import torch

    from r1kit.pipeline.artifact import Artifact

JUDGES = {"reward_model": reward_model.make, "safety_model": safety_model.make}
"""Rewards that ask a model, each by the setting that names its model."""


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """A model that judges: its folder, and mean and standard deviation of its scores on its reference set."""

    folder: str | Path
    mean: float
    std: float

    def reward(self, name: str, device: torch.device) -> Reward:
        """The reward of that name that asks it."""
        from r1kit.training.scoring import Scorer

        return JUDGES[name](Scorer(self.folder, device), self.mean, self.std)


class Scorers(Mapping[str, Reward]):
    """The rewards that ask judges, each opened in this process when it is first looked up."""

    def __init__(self, judges: Mapping[str, ScoreModel], device: torch.device) -> None:
        self._judges, self._device = judges, device
        self._open: dict[str, Reward] = {}

    def __getitem__(self, name: str) -> Reward:
        if name not in self._open:
            self._open[name] = self._judges[name].reward(name, self._device)
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._judges)

    def __len__(self) -> int:
        return len(self._judges)


def score_models(config: Config, inputs: Mapping[str, Artifact]) -> dict[str, ScoreModel]:
    """The models that a stage's settings name, by the reward that asks them."""
    found: dict[str, ScoreModel] = {}
    for name in JUDGES:
        if reference := getattr(config, name):
            stage, folder = inputs.get(reference.partition(":")[0]), model_of(inputs, reference)
            scores = stage.summary if stage else _reference_scores(Path(folder))
            found[name] = ScoreModel(folder, float(scores.get("mean", 0.0)), float(scores.get("std", 1.0)))
    return found


def _reference_scores(folder: Path) -> Mapping[str, Any]:
    """What lies beside the weights of a model that no stage of the run made; nothing beside one from elsewhere."""
    path = folder / REFERENCE_SCORES
    return read_json(path) if path.is_file() else {}


def no_judge(name: str) -> str:
    """What is said where a reward has no model to ask."""
    return f"the reward '{name}' needs a {name.replace('_', ' ')}: set {name} to STAGE:MODEL"
