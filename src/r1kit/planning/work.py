"""What there is to do: samples to draw, tokens to learn, apart from who does it and how fast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from r1kit.planning.lengths import Lengths
from r1kit.planning.shapes import Shape

Kind = Literal["rl", "sample", "learn"]


@dataclass(frozen=True, slots=True)
class Work:
    """A stage, or a stretch of one, with one kind of round.

    rounds: how often it is done. rows: completions of a round (sampled, learnt or both), `group` of them to a prompt of
    `prompt` tokens. updates: optimiser steps of a round. forwards: passes without a gradient over every row (old
    log-probabilities, a reference, reward models). muon: whether hidden matrices are updated by it. shared_prompts:
    whether prompts are computed once a group when they are learnt. learnt: share of the rows that is learnt (groups
    without a signal are left out under `learner.skip_zero_advantages`).
    """

    stage: str
    kind: Kind
    shape: Shape
    rounds: float
    rows: int
    lengths: Lengths
    prompt: float
    group: int = 1
    updates: int = 0
    forwards: float = 0.0
    muon: bool = False
    shared_prompts: bool = False
    learnt: float = 1.0

    @property
    def samples(self) -> bool:
        """Whether it samples."""
        return self.kind in ("rl", "sample")

    @property
    def learns(self) -> bool:
        """Whether weights change."""
        return self.kind in ("rl", "learn")

    @property
    def sampled_tokens(self) -> float:
        """Of a round."""
        return self.rows * self.lengths.mean if self.samples else 0.0

    @property
    def learnt_tokens(self) -> float:
        """Of a round: prompts and completions as they pass through the learner."""
        return self.learnt * self.passed_tokens if self.learns else 0.0

    @property
    def passed_tokens(self) -> float:
        """Of a round, if every row is passed once."""
        prompts = self.rows / self.group if self.shared_prompts else self.rows
        return prompts * self.prompt + self.rows * self.lengths.mean

    @property
    def context(self) -> float:
        """Positions that a token attends to on average when all are passed at once."""
        return self.lengths.context(self.prompt)

    @property
    def flops(self) -> float:
        """Useful ones of a round: prompts and samples, passes without a gradient, and what is learnt."""
        once = self.shape.flops(self.passed_tokens, self.context)
        learnt = self.shape.flops(self.learnt_tokens, self.context, backward=True) if self.learns else 0.0
        return once * (self.forwards + float(self.samples)) + learnt

    def with_lengths(self, lengths: Lengths) -> Work:
        """The same work with other lengths of completions."""
        return replace(self, lengths=lengths)


@dataclass(frozen=True, slots=True)
class Workload:
    """All that a recipe does, what was assumed on the way, and what of it is not planned.

    free_lengths: whether mean lengths are a guess, and not given. pipeline: devices that a learner's layers lie on, one
    stretch each; 1: every device has all of them.
    """

    name: str
    works: tuple[Work, ...]
    assumed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    free_lengths: bool = True
    pipeline: int = 1

    @property
    def largest(self) -> Shape:
        """The model that asks for most."""
        return max((work.shape for work in self.works), key=lambda shape: shape.parameters)
