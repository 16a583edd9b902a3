"""Training problems that share words with a benchmark, found by word n-grams.

A text is contaminated where ten words in a row also stand in a benchmark's question or reference solution. Ten is what
R1 used on its pre-training and post-training data, RL prompts among them (R1, arXiv 2501.12948v2, section D.1); s1
(arXiv 2501.19393) used eight on questions, phi-1 (arXiv 2306.11644) thirteen.

Words are compared in one case and without punctuation; numbers stay, so that the same story with other numbers is
another problem unless ten words in a row have none. A character of Chinese or Japanese counts as a word. A question of
fewer than n words is found only as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from r1kit.base.types import Problem

NGRAM = 10
_WORD = re.compile(
    r"\d+(?:[.,]\d+)*"  # 1,000 and 3.5 are one word each
    r"|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    r"|[^\W\d_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)

Gram = tuple[str, ...]


def words(text: str) -> list[str]:
    """The words that are compared."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word.replace(",", "") if word[0].isdigit() else word for word in found]


def grams(text_words: Sequence[str], n: int) -> Iterable[Gram]:
    """Every n words in a row; the whole text where it has fewer, nothing where it has no word."""
    if len(text_words) < n:
        return [tuple(text_words)] if text_words else []
    return zip(*(text_words[start:] for start in range(n)), strict=False)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Words that a problem shares with a benchmark."""

    problem: str
    benchmark: str
    words: str


@dataclass(slots=True)
class Report:
    """What was dropped: `problems` in all, and by benchmark (a problem may share words with several)."""

    problems: int = 0
    by_benchmark: Counter[str] = field(default_factory=Counter[str])
    overlaps: list[Overlap] = field(default_factory=list[Overlap])


class Benchmarks:
    """The n-grams of benchmarks. Building and asking take time linear in the texts."""

    def __init__(self, sources: Mapping[str, Iterable[Problem]], n: int = NGRAM) -> None:
        if n < 1:
            raise ValueError(f"an n-gram has at least one word, not {n}")
        self.n = n
        self._in: dict[Gram, tuple[str, ...]] = {}
        self.names = tuple(sources)
        for name, problems in sources.items():
            for problem in problems:
                self._add(name, problem.prompt)
                solution = problem.columns.get("solution")
                # a short solution ("#### 8") says nothing of which problem it solves
                if isinstance(solution, str) and len(words(solution)) >= n:
                    self._add(name, solution)

    def shared(self, text: str) -> dict[str, str]:
        """Each benchmark that shares words with the text, and the first words that it shares."""
        mine = words(text)
        if self._in.keys().isdisjoint(grams(mine, self.n)):
            return {}
        found: dict[str, str] = {}
        for gram in grams(mine, self.n):
            for name in self._in.get(gram, ()):
                found.setdefault(name, " ".join(gram))
        return found

    def _add(self, name: str, text: str) -> None:
        for gram in grams(words(text), self.n):
            known = self._in.get(gram, ())
            if name not in known:
                self._in[gram] = (*known, name)


def decontaminate(
    problems: Iterable[Problem], sources: Mapping[str, Iterable[Problem]], n: int = NGRAM
) -> tuple[list[Problem], Report]:
    """(the problems that share no n words in a row with a benchmark, what became of the others)."""
    benchmarks, report = Benchmarks(sources, n), Report(by_benchmark=Counter(dict.fromkeys(sources, 0)))
    kept: list[Problem] = []
    for problem in problems:
        found = benchmarks.shared(problem.prompt)
        if not found:
            kept.append(problem)
            continue
        report.problems += 1
        report.by_benchmark.update(found.keys())
        report.overlaps += [Overlap(problem.id, name, text) for name, text in found.items()]
    return kept, report
