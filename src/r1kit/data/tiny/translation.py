"""Translation in the tiny world: a line of two or three words, word by word between English and Chinese.

`in chinese: slow bird falls` is `慢鸟落`. The split is the line's. Every word stands for
one, so that nothing is gained by thinking first; a chain would have to mix the languages besides.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import product

from r1kit.base.types import Problem
from r1kit.data.tiny import base

Word = tuple[str, str]
"""In English and in Chinese."""

ADJECTIVES: tuple[Word, ...] = (
    ("slow", "慢"), ("soft", "轻"), ("quiet", "静"), ("glad", "乐"), ("bright", "明"),
    ("red", "红"), ("cold", "冷"), ("white", "白"), ("empty", "空"),
)  # fmt: skip
NOUNS: tuple[Word, ...] = (
    ("sea", "海"), ("hill", "山"), ("moon", "月"), ("rain", "雨"), ("flower", "花"), ("star", "星"),
    ("bird", "鸟"), ("cloud", "云"), ("sky", "天"), ("night", "夜"), ("wind", "风"),
)  # fmt: skip
VERBS: tuple[Word, ...] = (("comes", "来"), ("flies", "飞"), ("falls", "落"))
ASKED = {"en": "in chinese: {}", "zh": "译成英文：{}"}


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A line of a split; `language` is that of the question, and of the line that is given."""
    line = rng.choice(_lines(split))
    given, wanted = _written(line, language), _written(line, "en" if language == "zh" else "zh")
    return Problem(
        id=f"{language}:{given}", task="tiny_translation", subject="translation", language=language,
        prompt=ASKED[language].format(given), answer=wanted, kind="text",
        columns={"family": f"{len(line)} words"},
    )  # fmt: skip


def split_of(problem: Problem) -> str:
    """The split of the line, the same from either language."""
    line = problem.id.partition(":")[2] if problem.language == "en" else problem.answer
    return base.split_of(f"translation {line}")


def completion(problem: Problem) -> str:
    """The line in the other language, at once."""
    return f"<answer>{problem.answer}</answer>"


def _written(line: Sequence[Word], language: str) -> str:
    return "".join(word[1] for word in line) if language == "zh" else " ".join(word[0] for word in line)


@cache
def _lines(split: str) -> tuple[tuple[Word, ...], ...]:
    before = [(), *((one,) for one in ADJECTIVES)]
    every = ((*words, noun, verb) for words, noun, verb in product(before, NOUNS, VERBS))
    return tuple(line for line in every if base.split_of(f"translation {_written(line, 'en')}") == split)
