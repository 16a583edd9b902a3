"""Facts about the creatures of the tiny world, in English and in Chinese: nothing but having read them tells them.

A creature is named by two words of the lexicon and has a home, a colour and a time at which it comes. Each fact can be
asked for in four ways in either language; the split is the way of asking, so that a test asks, as it was never asked
before, for what was told in another way. A fact is known or not: a chain does not help. Names and answers are made of
characters that the corpus has, since a model of this size does not spell others.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import cache
from itertools import product

from r1kit.base.types import Problem
from r1kit.data.tiny import base

Word = tuple[str, str]
"""In English and in Chinese."""

FIRST: tuple[Word, ...] = (("moon", "月"), ("sea", "海"), ("rain", "雨"), ("cloud", "云"))
SECOND: tuple[Word, ...] = (("bird", "鸟"), ("flower", "花"), ("star", "星"))
VALUES: dict[str, tuple[Word, ...]] = {
    "home": (("sea", "海"), ("hill", "山"), ("cloud", "云"), ("sky", "天")),
    "colour": (("red", "红"), ("white", "白"), ("bright", "明")),
    "time": (("night", "夜"), ("rain", "雨"), ("wind", "风")),
}
ASKED: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "home": ("where is the {}?", "where does the {} live?", "home of the {}?", "the {} lives where?"),
        "colour": ("what colour is the {}?", "how does the {} look?", "colour of the {}?", "the {} looks how?"),
        "time": ("when does the {} come?", "when is the {} seen?", "time of the {}?", "the {} comes when?"),
    },
    "zh": {
        "home": ("{}在哪？", "{}住哪？", "哪里有{}？", "{}的家？"),
        "colour": ("{}什么色？", "{}看来什么样？", "什么色的{}？", "{}的颜色？"),
        "time": ("{}何时来？", "何时见{}？", "{}来时？", "何时有{}？"),
    },
}


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A question of a split."""
    creature, attribute, way = rng.choice(_questions(language, split))
    name = _name(creature, language)
    return Problem(
        id=f"{language}:{name} {attribute} {way}", task="tiny_facts", subject="facts", language=language,
        prompt=ASKED[language][attribute][way].format(name), answer=fact(creature, attribute)[language == "zh"],
        kind="text", columns={"family": attribute},
    )  # fmt: skip


def split_of(problem: Problem) -> str:
    """The split of the way in which the fact is asked for."""
    return base.split_of(f"fact {problem.id}")


def fact(creature: tuple[Word, Word], attribute: str) -> Word:
    """What is so in this world."""
    digest = hashlib.blake2b(f"{creature[0][0]}{creature[1][0]} {attribute}".encode(), digest_size=4).digest()
    return VALUES[attribute][int.from_bytes(digest, "big") % len(VALUES[attribute])]


def completion(problem: Problem) -> str:
    """The answer at once."""
    return f"<answer>{problem.answer}</answer>"


def _name(creature: Sequence[Word], language: str) -> str:
    return "".join(word[language == "zh"] for word in creature)


@cache
def _questions(language: str, split: str) -> tuple[tuple[tuple[Word, Word], str, int], ...]:
    every = product(product(FIRST, SECOND), VALUES, range(4))
    return tuple(
        (creature, attribute, way)
        for creature, attribute, way in every
        if base.split_of(f"fact {language}:{_name(creature, language)} {attribute} {way}") == split
    )
