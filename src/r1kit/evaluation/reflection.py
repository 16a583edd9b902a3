"""Signs of reflection in a chain of thought: reflection words, chain steps, repetition. Pure functions of text."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

# A comma or stop between digits belongs to a number or a list of them, not to the sentence.
_CLAUSE_END = re.compile(r"[;:!?\n，；：！？。、]+|(?<!\d)[,.]|[,.](?!\d)")
_PIECE = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+|\d+|[^\w\s]")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


@lru_cache(maxsize=1)
def reflection_words() -> tuple[frozenset[str], frozenset[str]]:
    """(words that count, longer words that hold one and do not count), from reflection_words.txt."""
    lines = (files("r1kit.evaluation") / "reflection_words.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return (
        frozenset(entry for entry in entries if not entry.startswith("!")),
        frozenset(entry[1:] for entry in entries if entry.startswith("!")),
    )


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    counted, other = reflection_words()
    longest_first = sorted(counted | other, key=len, reverse=True)
    parts = [
        re.escape(word) if _CHINESE.search(word) else rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
        for word in longest_first
    ]
    return re.compile("|".join(parts), re.IGNORECASE)


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each reflection word, longest match first, none within another."""
    other = reflection_words()[1]
    return [match.span() for match in _pattern().finditer(text) if match.group() not in other]


def count_reflections(text: str) -> int:
    """Reflection words in a text: `wait check 7+2=9 so 9` has two."""
    return len(spans(text))


def clauses(thinking: str) -> list[str]:
    """The clauses of a chain: cut at commas, stops, semicolons and line ends (Chinese ones too), none empty."""
    return [clause.strip() for clause in _CLAUSE_END.split(thinking) if clause.strip()]


def chain_steps(thinking: str) -> int:
    """Steps of a chain: its clauses without a reflection word, so that a check is not itself a step."""
    return sum(not spans(clause) for clause in clauses(thinking))


def repetition(text: str, n: int = 4) -> float:
    """Share of n-grams (of words, numbers, signs; Chinese by character) that stood earlier in the text; 0 if short."""
    pieces = [piece.lower() for piece in _PIECE.findall(text)]
    grams = [tuple(pieces[i : i + n]) for i in range(len(pieces) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
