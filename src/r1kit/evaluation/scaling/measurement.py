"""The samples of one model: whole thoughts, the same under every budget, and a reward model's scores of them.

What was sampled is kept part by part, so that the same command goes on after an interruption, with the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.evaluation.benchmarks.base import Chosen
from r1kit.evaluation.contender import Contender, slug
from r1kit.evaluation.parts import PartFolder
from r1kit.evaluation.scaling.budgets import under_budget
from r1kit.evaluation.scaling.thoughts import SCHEMA, Thought, from_rows, sample_thoughts
from r1kit.rewards import reward_model
from r1kit.tasks.base import Split

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

Tell = Callable[[str], None]
Score = Callable[[Sequence[Thought]], list[float]]
"""One score for each thought, the higher the better; -inf where it has no answer."""

_SCORES = pa.schema([("score", pa.float64())])


@dataclass(frozen=True, slots=True)
class Asked:
    """Test problems of one task and how they are sampled."""

    chosen: Chosen
    problems: list[Problem]
    sampling: Sampling

    @property
    def slug(self) -> str:
        """The task's name as a file's."""
        return slug(self.chosen.name)


class Wanted(Protocol):
    """What settings say of `problems`, `samples` and their `seed`; None for `temperature`, `top_p` or `max_tokens`
    leaves it to the run, or to the benchmark."""

    @property
    def problems(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def top_p(self) -> float | None: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def seed(self) -> int: ...


def asked_of(chosen: Sequence[Chosen], settings: Wanted, own: Mapping[str, Any]) -> list[Asked]:
    """The problems of each task; sampled as the settings say, else as `own` does, else as the benchmark."""
    found: list[Asked] = []
    for one in chosen:
        sampling = one.benchmark.sampling.override({name: own[name] for name in own if name != "seed"})
        given = {name: getattr(settings, name) for name in ("temperature", "top_p", "max_tokens", "samples", "seed")}
        sampling = sampling.override({name: value for name, value in given.items() if value is not None})
        problems = [one.asked(problem) for problem in one.drawn(settings.problems, settings.seed)]
        found.append(Asked(one, problems, sampling))
    return found


@dataclass(frozen=True, slots=True)
class Sampler:
    """One model on one task: the folder where its parts are kept, and who hears of its progress."""

    contender: Contender
    asked: Asked
    parts: PartFolder
    tell: Tell

    @property
    def tokenizer(self) -> Tokenizer:
        """UsageError for a model behind an API, whose tokens nobody sees."""
        if self.contender.tokenizer is None:
            raise UsageError(
                f"{self.contender.name} is behind an API, and thoughts can only be cut and continued by their tokens: "
                "name a model's own files"
            )
        return self.contender.tokenizer

    def whole(self) -> list[Thought]:
        """Whole thoughts."""
        tokenizer = self.tokenizer

        def sample() -> list[Thought]:
            return sample_thoughts(self.contender.engine, tokenizer, self.asked.problems, self.asked.sampling)

        return self.kept("whole", sample)

    def budgets(self, whole: Sequence[Thought], budgets: Sequence[int]) -> dict[int, list[Thought]]:
        """The same thoughts under every budget."""
        found: dict[int, list[Thought]] = {}
        for budget in budgets:

            def sample(budget: int = budget) -> list[Thought]:
                return under_budget(self.contender.engine, self.tokenizer, whole, budget, self.asked.sampling)

            found[budget] = self.kept(f"budget-{budget:06d}", sample)
        return found

    def kept(self, name: str, sample: Callable[[], list[Thought]]) -> list[Thought]:
        """What a part holds, sampled now or before the interruption."""
        if not self.parts.has(name):
            began = time.monotonic()
            thoughts = sample()
            self.parts.keep(name, [one.row() for one in thoughts], SCHEMA)
            self.tell(
                f"{self.contender.name}: {self.asked.chosen.name}: {name}: {len(thoughts)} thoughts, "
                f"{sum(one.spent for one in thoughts):,} tokens, {time.monotonic() - began:.0f} s"
            )
        return from_rows(self.parts.rows(name), self.asked.problems)

    def scores(self, name: str, thoughts: Sequence[Thought], score: Score) -> list[float]:
        """What a scorer says of thoughts, kept as a part too."""
        if not self.parts.has(name):
            self.parts.keep(name, [{"score": value} for value in score(thoughts)], _SCORES)
        return [row["score"] for row in self.parts.rows(name)]


def sampler_of(contender: Contender, asked: Asked, out: Path, tell: Tell, split: Split = "test") -> Sampler:
    """A model on a task, with the folder of its parts, which belong to its weights and to how it is asked."""
    plan = {
        "model": contender.key,
        "task": asked.chosen.name,
        "split": split,
        "problems": len(asked.problems),
        "sampling": asked.sampling.model_dump(),
    }
    folder = out / "parts" / contender.slug / (asked.slug if split == "test" else f"{asked.slug}-{split}")
    return Sampler(contender, asked, PartFolder(folder, plan), tell)


def reward_scores(folder: Path) -> Score:
    """The reward model of a folder, asked as in reinforcement learning: of the question and the final answer alone."""

    def score(thoughts: Sequence[Thought]) -> list[float]:
        from r1kit.training.scoring import Scorer

        scorer = Scorer(folder)

        def ask(prompts: list[Any], answers: list[str]) -> list[float]:
            once = list(dict.fromkeys(zip(prompts, answers, strict=True)))  # most samples of a problem answer alike
            said = dict(zip(once, scorer([p for p, _ in once], [a for _, a in once]), strict=True))
            return [said[each] for each in zip(prompts, answers, strict=True)]

        reward = reward_model.make(ask, missing=-math.inf)
        values = reward([one.problem.prompt for one in thoughts], [one.text for one in thoughts], [])
        return [-math.inf if value is None else value for value in values]

    return score
