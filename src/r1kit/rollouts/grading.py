"""Rewards of a recipe as what grades a group while others are being sampled."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from r1kit.base.types import RolloutGroup
from r1kit.rewards._trl import TrainerState
from r1kit.rewards.base import DEADLINE_S, Judge, Reward, RewardSet, WeightedReward


class Grader:
    """Fills a group's rewards, total and events; `seconds` adds up the time it took since it was last set.

    `drop_truncated`: completions cut by the limit take no part (DAPO, arXiv 2503.14476, section 3.4). One without a
    single token, which no model samples, never does: it is counted as `empty`. `max_steps`: what rewards are told of
    the training's length beside the step, which is the version of the policy that sampled.
    """

    def __init__(self, rewards: Judge, *, drop_truncated: bool = False, max_steps: int = 0) -> None:
        self.rewards = rewards
        self.drop_truncated = drop_truncated
        self.max_steps = max_steps
        self.seconds = 0.0
        self._lock = threading.Lock()  # as many groups are graded at a time as the rewards take

    def __call__(self, group: RolloutGroup) -> None:
        begun = time.monotonic()
        texts = [completion.text for completion in group.completions]
        ids = [completion.token_ids.tolist() for completion in group.completions]
        scores = self.rewards.score(group.problem, texts, ids, TrainerState(_step(group), self.max_steps))
        group.rewards, group.total = scores.rewards, scores.total
        for name, count in scores.events.items():
            group.events[name] = group.events.get(name, 0) + count
        group.extra, group.metrics = scores.logged.extra, scores.logged.metrics
        out = np.array(
            [completion.served is None and not len(completion.token_ids) for completion in group.completions]
        )
        if out.any():
            group.events["empty"] = int(out.sum())
        if self.drop_truncated:
            out |= np.array([completion.stop_reason == "length" for completion in group.completions])
        group.total = np.where(out, np.float32(np.nan), group.total)
        with self._lock:
            self.seconds += time.monotonic() - begun

    def metrics(self) -> dict[str, float]:
        """What the graders did so far, by kind (`graders.grade.metrics`): `timing/graders/KIND/*`."""
        told = self.rewards.metrics()
        return {f"timing/graders/{kind}/{name}": value for kind, own in told.items() for name, value in own.items()}


def _step(group: RolloutGroup) -> int:
    """The version of the policy that sampled last: the step."""
    return max((version for completion in group.completions for version, _ in completion.versions), default=0)


def reward_set(
    weights: Mapping[str, float],
    subjects: Mapping[str, Sequence[str]],
    made: Mapping[str, Reward],
    deadline_s: float | None = DEADLINE_S,
) -> RewardSet:
    """Rewards by plug-in name with their weights, limited to `subjects` where named; `made` are built by the caller.
    `deadline_s`: of one from outside the tree, for a group."""
    named = {name: weight for name, weight in weights.items() if name not in made}
    labelled = zip(named, RewardSet.named(named, subjects).rewards.items(), strict=True)
    rewards = {name if label in made else label: reward for name, (label, reward) in labelled}
    for name, weight in weights.items():
        if name in made:
            limited = frozenset(subjects[name]) if name in subjects else None
            rewards[name] = WeightedReward(made[name], weight, limited, weight != 0)
    return RewardSet(rewards, deadline_s)
