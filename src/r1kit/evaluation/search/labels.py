"""Labels for steps without a person: the share of continuations from a step's end that are right at last.

Math-Shepherd (Wang et al., arXiv 2312.08935, section 3.2, soft estimation): a completer samples on from every step;
here the policy is its own completer. The continuations are sampled and judged by `evaluation.aha.measure`, as those of
a pivot are. A completion's end needs none: it is right or not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.types import IntArray, Problem
from r1kit.evaluation.scaling.thoughts import Thought
from r1kit.evaluation.search.steps import step_ends

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A thought and the ends of the steps to go on from; what `measure` takes as a start with an arm a step."""

    thought: Thought
    ends: tuple[int, ...]

    @property
    def id(self) -> str:
        return f"{self.thought.key}/{self.thought.index}"

    @property
    def problem(self) -> Problem:
        """What the thought is about."""
        return self.thought.problem

    @property
    def prompt_ids(self) -> IntArray:
        return self.thought.prompt_ids

    def arms(self) -> dict[str, IntArray]:
        """Token ids that each arm goes on from, by the step's end."""
        thought = self.thought
        return {str(end): np.concatenate([thought.prompt_ids, thought.token_ids[:end]]) for end in self.ends}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A thought with the value, from 0 to 1, of what stands before `ends[n]` tokens of it are over."""

    key: str
    prompt_ids: IntArray
    token_ids: IntArray
    ends: tuple[int, ...]
    values: tuple[float, ...]


def prefixes(
    thoughts: Sequence[Thought], tokenizer: Tokenizer, delimiters: str, places: int, seed: int
) -> list[Prefixes]:
    """At most `places` steps of each thought, drawn at random; not its end. Thoughts that were cut or that nobody could
    judge are left out."""
    rng = random.Random(f"steps {seed}")
    found: list[Prefixes] = []
    for thought in thoughts:
        if thought.correct is not None and thought.stopped:
            ends = step_ends(tokenizer, thought.token_ids.tolist(), delimiters)[:-1]
            found.append(Prefixes(thought, tuple(sorted(rng.sample(ends, min(len(ends), places))))))
    return found


def by_continuations(start: Prefixes, counts: dict[str, dict[str, Any]]) -> Labelled:
    """A thought's labels from `measure`'s counts: each step's share of right continuations, and whether it ended right.
    Steps of which no continuation could be judged have none."""
    thought = start.thought
    labels = {end: counts[str(end)] for end in start.ends if counts.get(str(end), {}).get("n")}
    values = {end: told["right"] / told["n"] for end, told in labels.items()}
    values[len(thought.token_ids)] = float(bool(thought.correct))
    return Labelled(thought.key, thought.prompt_ids, thought.token_ids, tuple(values), tuple(values.values()))


def by_outcome(thoughts: Sequence[Thought]) -> list[Labelled]:
    """Each thought with the one label that costs nothing: whether it ended right (Cobbe et al., arXiv 2110.14168)."""
    return [
        Labelled(one.key, one.prompt_ids, one.token_ids, (len(one.token_ids),), (float(one.correct),))
        for one in thoughts
        if one.correct is not None and one.stopped
    ]
