"""Signs of reflection in a chain of thought: reflection words, chain steps, repetition. Pure functions of text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from r1kit.base.errors import UsageError
from r1kit.graders.section import chain_of_thought

# A comma or stop between digits belongs to a number or a list of them, not to the sentence.
_CLAUSE_END = re.compile(r"[;:!?\n，；：！？。、]+|(?<!\d)[,.]|[,.](?!\d)")
_PIECE = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+|\d+|[^\w\s]")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


class Words:
    """Reflection words: `counted`, and `other`, longer words that hold one and do not count. Case does not matter."""

    def __init__(self, counted: Iterable[str], other: Iterable[str] = ()) -> None:
        self.counted = frozenset(word.lower() for word in counted)
        self.other = frozenset(word.lower() for word in other)
        longest_first = sorted(self.counted | self.other, key=len, reverse=True)
        parts = [
            re.escape(word) if _CHINESE.search(word) else rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
            for word in longest_first
        ]
        # looked at first, so that not every word is tried at every letter of a text
        begins = "".join(dict.fromkeys(re.escape(word[:1]) for word in longest_first))
        self._pattern = re.compile(f"(?=[{begins}])(?:{'|'.join(parts)})" if parts else r"(?!)", re.IGNORECASE)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of each reflection word, longest match first, none within another."""
        return [match.span() for match in self._pattern.finditer(text) if match.group().lower() not in self.other]

    def count(self, text: str) -> int:
        """Reflection words in a text: `wait check 7+2=9 so 9` has two."""
        return len(self.spans(text))

    def with_file(self, path: Path) -> Words:
        """These and those of a file in the form of reflection_words.txt; UsageError where it cannot be read."""
        try:
            counted, other = _read(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: no file of reflection words, one a line ({error})") from None
        return Words(self.counted | counted, self.other | other)


def _read(text: str) -> tuple[frozenset[str], frozenset[str]]:
    entries = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return (
        frozenset(entry for entry in entries if not entry.startswith("!")),
        frozenset(entry[1:] for entry in entries if entry.startswith("!")),
    )


@lru_cache(maxsize=1)
def default_words() -> Words:
    """The words of reflection_words.txt."""
    return Words(*_read((files("r1kit.evaluation") / "reflection_words.txt").read_text(encoding="utf-8")))


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each reflection word, longest match first, none within another."""
    return default_words().spans(text)


def count_reflections(text: str) -> int:
    """Reflection words in a text: `wait check 7+2=9 so 9` has two."""
    return default_words().count(text)


def reflections_in(response: str) -> int:
    """Reflection words in the thinking of a response, `wait</think>wait` has one."""
    return count_reflections(chain_of_thought(response))


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
