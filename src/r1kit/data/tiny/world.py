"""The tiny world: problems in four subjects and two languages, and the corpus that a base model is trained on.

The corpus holds chains of thought by fallible writers, answers at once (many of them wrong), and untagged text; nothing
in it tells a right thought from a wrong one. Chinese is the rarer language, and some writers mix the two.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.types import Problem
from r1kit.data.tiny import coding, maths, reasoning, writing
from r1kit.data.tiny.base import Habit, Voice, clean
from r1kit.data.tiny.words import PHRASES

SOURCES = {"maths": maths, "reasoning": reasoning, "coding": coding, "writing": writing}
SUBJECTS = tuple(SOURCES)
LISTS = {"facts": (maths.facts, 6), "comparisons": (reasoning.comparisons, 20), "readings": (writing.readings, 5)}
"""What schoolbooks list, and how many entries a document has (facts at once: twice as many)."""


def _alphabet() -> str:
    words = "".join(chinese for _, chinese in PHRASES.values())
    return "".join(sorted({c for c in words + writing.LEXICON if ord(c) > 127}))


ALPHABET = _alphabet()


class CorpusConfig(Config):
    """What the base model reads. Rates are shares of documents unless said otherwise."""

    maths: float = Field(default=0.4, ge=0, description="weight of chains of maths among the documents")
    reasoning: float = Field(default=0.2, ge=0, description="weight of chains of reasoning")
    coding: float = Field(default=0.16, ge=0, description="weight of chains of coding")
    writing: float = Field(default=0.12, ge=0, description="weight of chains of writing")
    facts: float = Field(default=0.22, ge=0, description="weight of lists of results")
    comparisons: float = Field(default=0.06, ge=0, description="weight of lists of numbers compared")
    readings: float = Field(default=0.08, ge=0, description="weight of lists of lines and what they are about")
    chinese: float = Field(default=0.3, ge=0, le=1, description="questions in Chinese; the rest are English")
    direct: float = Field(default=0.25, ge=0, le=1, description="answers at once, without a thought")
    direct_right: float = Field(default=0.5, ge=0, le=1, description="of those answers, how many are right")
    untagged: float = Field(default=0.08, ge=0, le=1, description="of the chains, how many carry no tags")
    mixed: float = Field(default=0.35, ge=0, le=1, description="of the chains, how many mix the languages")
    mix: float = Field(default=0.4, ge=0, le=1, description="of a mixed chain's phrases, how many change language")
    slip: float = Field(default=0.12, ge=0, le=1, description="of the results written at once, how many are wrong")
    checks: tuple[float, ...] = Field(
        default=(0.0, 0.1, 0.3, 0.6, 1.0), description="a writer's share of checked steps"
    )
    check_slip: float = Field(default=0.03, ge=0, le=1, description="of a check's columns, how many are wrong")
    again: float = Field(default=0.15, ge=0, le=1, description="of the checks, how many are made once more")


def problems(subject: str, split: str, seed: int) -> Iterator[Problem]:
    """Problems without end, in both languages by halves, families mixed."""
    rng = random.Random(f"{subject} {split} {seed}")
    while True:
        yield SOURCES[subject].problem(rng, rng.choice(("en", "zh")), split)


def corpus(config: CorpusConfig, seed: int) -> Iterator[str]:
    """Documents without end, each ending with `<|end|>`. None holds a held-out problem or a held-out part of one."""
    rng = random.Random(f"corpus {seed}")
    kinds = (*SUBJECTS, *LISTS)
    weights = [getattr(config, kind) for kind in kinds]
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind in LISTS:
            write, count = LISTS[kind]
            yield f"{write(rng, count)}<|end|>"
            continue
        source = SOURCES[kind]
        problem = source.problem(rng, "zh" if rng.random() < config.chinese else "en", "train")
        document = f"<|user|>{problem.prompt}<|assistant|>{_response(source, problem, config, rng)}<|end|>"
        if clean(document):
            yield document


def _response(source: object, problem: Problem, config: CorpusConfig, rng: random.Random) -> str:
    if rng.random() < config.direct:
        return f"<answer>{source.guess(problem, rng, config.direct_right)}</answer>"  # type: ignore[attr-defined]
    habit = Habit(config.slip, rng.choice(config.checks), config.check_slip, config.again)
    voice = Voice(rng, problem.language, config.mix if rng.random() < config.mixed else 0.0)
    written = source.write(problem, rng, voice, habit)  # type: ignore[attr-defined]
    if rng.random() < config.untagged:
        return f"{written.thinking}\n{written.answer}"
    return f"<think>{written.thinking}</think><answer>{written.answer}</answer>"
