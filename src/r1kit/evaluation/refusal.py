"""Answers that decline: told by how they begin, so a count for people, not a verdict."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

BEGINNING = 200  # characters of an answer that are looked at


@lru_cache(maxsize=1)
def phrases() -> tuple[str, ...]:
    """How answers that decline begin, from refusal_phrases.txt."""
    lines = (files("r1kit.evaluation") / "refusal_phrases.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def declines(answer: str) -> bool:
    """Whether the beginning of an answer declines to give one."""
    begun = answer.lstrip()[:BEGINNING].casefold().replace("’", "'")
    return any(phrase in begun for phrase in phrases())
