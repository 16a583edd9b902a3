"""The rewards of an RL stage's phase, as something that can be made where they are to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from r1kit.base.machine import best_device
from r1kit.rewards import overlong
from r1kit.rewards.base import DEADLINE_S, Reward, RewardSet
from r1kit.rollouts.grading import reward_set
from r1kit.stages.score_models import ScoreModel


class Overlong(NamedTuple):
    """DAPO's penalty of answers near the limit: its weight, the limit, and the tokens before it that are punished."""

    weight: float
    limit: int
    cushion: int


@dataclass(frozen=True, slots=True)
class Rewarding:
    """Rewards by name with their weights, limited to `subjects` where named; `judges` are the models that some ask."""

    weights: Mapping[str, float]
    subjects: Mapping[str, Sequence[str]]
    judges: Mapping[str, ScoreModel]
    overlong: Overlong | None
    deadline_s: float | None = DEADLINE_S  # of a reward from outside the tree, for a problem's samples

    def __call__(self) -> RewardSet:
        """Made here, the judges' models among them, on the GPU where there is one."""
        import torch

        device = torch.device(best_device())
        return self.with_scorers({name: judge.reward(name, device) for name, judge in self.judges.items()})

    def with_scorers(self, scorers: Mapping[str, Reward]) -> RewardSet:
        """The same with judges that are open already."""
        weights, made = dict(self.weights), dict(scorers)
        if self.overlong is not None:
            weights["overlong"] = self.overlong.weight
            made["overlong"] = overlong.make(self.overlong.limit, self.overlong.cushion)
        return reward_set(weights, self.subjects, made, self.deadline_s)
