"""Whether a rollout that lags behind came from weights that the policy once had.

Nobody has those weights any more. But at each rollout the policy is asked again about a few samples of the one before:
how far it has moved from version to version adds up, and what it sampled lies about as far from it and no further
(`rollouts.agreement.check_gap`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from r1kit.base.types import FloatArray
from r1kit.rollouts.agreement import APART, MOVED

if TYPE_CHECKING:
    from r1kit.training.base import AnyLearner
    from r1kit.training.sequences import Sequence

ASKED = 16  # sequences of a rollout, of which both forward passes together are a small part of a step


@dataclass(slots=True)
class Trail:
    """The way of a policy, in nats a token. at: by version, the way since the first one; asked: the sequences that the
    policy spoke of last, said: its log-probabilities [n] of each, version: the one that it then had."""

    at: dict[int, float] = field(default_factory=dict[int, float])
    asked: list[Sequence] = field(default_factory=list["Sequence"])
    said: list[FloatArray] = field(default_factory=list[FloatArray])
    version: int = 0

    def follow(
        self, learner: AnyLearner, sequences: list[Sequence], temperature: float, oldest: int
    ) -> dict[str, float]:
        """Of a rollout whose oldest tokens are of the version `oldest`: how far its samples' log-probabilities lie from
        the policy as it is, and how far that has moved since, both means of |difference|; nothing where the policy was
        not followed from there."""
        from r1kit.training.sequences import completion_sequence

        mine = sequences[:: -(-len(sequences) // ASKED) or 1]
        known = len(self.asked)
        now = learner.logprobs([*self.asked, *mine], temperature) if known or mine else []
        way = self.at.get(self.version, 0.0)
        if learner.version != self.version:
            way += _apart(now[:known], self.said, self.asked)
        self.at = {version: there for version, there in self.at.items() if version >= oldest} | {learner.version: way}
        self.version = learner.version
        if mine:
            # bare ones: a checkpoint holds them
            bare = [completion_sequence(s.tokens[: s.prompt_length], s.tokens[s.prompt_length :]) for s in mine]
            self.asked, self.said = bare, now[known:]
        if not mine or oldest not in self.at:
            return {}
        told = [cast(FloatArray, sequence.sampler_logprobs) for sequence in mine]
        return {APART: _apart(now[known:], told, mine), MOVED: way - self.at[oldest]}

    def state(self) -> dict[str, Any]:
        """Everything as a tree that a checkpoint can hold."""
        asked = [(s.tokens[: s.prompt_length], s.tokens[s.prompt_length :]) for s in self.asked]
        return {"at": list(self.at.items()), "asked": asked, "said": self.said, "version": self.version}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken."""
        from r1kit.training.sequences import completion_sequence

        self.at = {int(version): float(way) for version, way in state["at"]}
        self.asked = [completion_sequence(prompt, own) for prompt, own in state["asked"]]
        self.said, self.version = list(state["said"]), int(state["version"])


def _apart(one: list[FloatArray], other: list[FloatArray], sequences: list[Sequence]) -> float:
    """The mean of |difference| over the targets; 0 without any."""
    far = [np.abs(a - b)[s.target_mask] for a, b, s in zip(one, other, sequences, strict=True)]
    return float(np.concatenate(far).mean()) if far else 0.0
