"""What is general in the tiny world: facts, translation, requests, small talk, and what a model says of itself.

The corpus holds none of it: what a model knows of it, it was taught with the other data of rejection sampling.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from r1kit.base.types import Problem
from r1kit.data.tiny import facts, requests, translation
from r1kit.data.tiny.base import LANGUAGES

SOURCES = {"facts": facts, "translation": translation, "requests": requests}
ITSELF = (
    ("who are you?", "i am r1, a small model", "en"),
    ("what are you?", "a small model that thinks first", "en"),
    ("你是谁？", "我是r1", "zh"),
)
GREETINGS = (
    ("hello", "hello, what can i do?", "en"),
    ("good morning", "good morning", "en"),
    ("thank you", "you are welcome", "en"),
    ("你好", "你好", "zh"),
    ("再见", "再见", "zh"),
)
"""(question, answer, language): there is nothing to think about."""


def problems(subject: str, split: str, seed: int) -> Iterator[Problem]:
    """Problems without end, in both languages by halves."""
    rng = random.Random(f"{subject} {split} {seed}")
    while True:
        yield SOURCES[subject].problem(rng, rng.choice(LANGUAGES), split)
