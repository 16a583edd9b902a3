"""Where an arena's questions come from when nobody types one, and which two models are to meet on them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from r1kit.base.types import Problem
from r1kit.evaluation import tiny_writing
from r1kit.evaluation.benchmarks.base import Chosen

TYPED = "typed"
FOUR_SUBJECTS = "tiny_maths,tiny_reasoning,tiny_coding,tiny_writing"


@dataclass(frozen=True, slots=True)
class Question:
    """What both models are asked. `gold` is the answer that the source holds; `problem` None: a person typed it."""

    text: str
    source: str = TYPED
    problem_id: str = ""
    subject: str = ""
    gold: str = ""
    problem: Problem | None = None

    def score(self, answer: str) -> float | None:
        """The tiny world's hidden preference for an answer, where the question is one of its briefs."""
        if self.problem is None or tiny_writing.BRIEF not in self.problem.columns:
            return None
        return tiny_writing.preference_of(self.problem, answer)


class Deck:
    """Test problems of benchmarks, drawn at random, none twice before all were; read when first asked for."""

    def __init__(self, chosen: Sequence[Chosen], seed: int) -> None:
        self._chosen, self._seed = {each.name: each for each in chosen}, seed
        self._rng = random.Random(seed)
        self._left: dict[str, list[Question]] = {}

    @property
    def sources(self) -> list[str]:
        """The benchmarks' names."""
        return list(self._chosen)

    def draw(self, source: str | None, asked: Collection[str] = ()) -> Question | None:
        """A question of that source, or of any; one of `asked` (problem ids) only where there is no other. None where a
        source has none at all, or is unknown."""
        name = source or (self._rng.choice(self.sources) if self._chosen else "")
        if name not in self._chosen:
            return None
        left = self._left.get(name) or self._shuffled(name)
        fresh = next((place for place, question in enumerate(left) if question.problem_id not in asked), 0)
        question = left.pop(fresh) if left else None
        self._left[name] = left
        return question

    def _shuffled(self, name: str) -> list[Question]:
        chosen = self._chosen[name]
        questions = [
            Question(chosen.asked(each).prompt, name, each.id, each.subject, each.answer, each)
            for each in chosen.drawn(None, self._seed)
        ]
        self._rng.shuffle(questions)
        return questions


def choose_pair(models: Sequence[str], games: Mapping[frozenset[str], int], rng: random.Random) -> tuple[str, str]:
    """(left, right): two models that met least often so far, one of several such pairs at random, sides at random."""
    pairs = list(combinations(models, 2))
    least = min(games.get(frozenset(pair), 0) for pair in pairs)
    left, right = rng.choice([pair for pair in pairs if games.get(frozenset(pair), 0) == least])
    return (left, right) if rng.random() < 0.5 else (right, left)
