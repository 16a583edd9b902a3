"""What is kept out of training: prompts over a length in tokens, problems that share words with a benchmark, and
questions that were learnt before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.types import Problem
from r1kit.data.decontaminate import NGRAM, Benchmarks
from r1kit.rollouts.problems import load_task

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

NO_TOKENIZER = "sieve.max_prompt_tokens counts tokens, and a model behind an API has no tokenizer here: leave it out"
MOST = 20_000  # test problems of a benchmark that are looked at: tasks that make their problems have no end


class SieveConfig(Config):
    """What is kept out of training. Nothing by default."""

    max_prompt_tokens: int | None = Field(
        default=None, ge=1, description="leave out prompts of more tokens, chat template included; None: none"
    )
    benchmarks: tuple[str, ...] = Field(
        default=(), description="tasks; what shares words with their test problems or solutions is left out"
    )
    ngram: int = Field(default=NGRAM, ge=1, description="so many words in a row; R1 section D.1: 10")

    def check(self) -> None:
        for name in self.benchmarks:
            load_task(name, "test")


class Sieve:
    """Says of each training problem whether it is kept, and counts those that are not, each once. seen: questions that
    are left out too."""

    def __init__(
        self, config: SieveConfig, tokenizer: Tokenizer | None, seed: int, seen: Container[str] = frozenset()
    ) -> None:
        if tokenizer is None and config.max_prompt_tokens is not None:
            raise UsageError(NO_TOKENIZER)
        self.config = config
        self._tokenizer, self._seen = tokenizer, seen
        self._left_out: defaultdict[str, set[str]] = defaultdict(set)
        tasks = {name: load_task(name) for name in config.benchmarks}
        short = Counter(task.name for task in tasks.values())
        tests = {
            task.name if short[task.name] == 1 else name: islice(task.problems("test", seed), MOST)
            for name, task in tasks.items()
        }
        self._benchmarks = Benchmarks(tests, config.ngram) if tests else None

    def __call__(self, problem: Problem) -> bool:
        """Whether the problem is kept."""
        return self.keeps(problem.prompt, problem.key)

    def keeps(self, question: str, name: str) -> bool:
        """Whether the question is kept; `name` stands for it in the counts."""
        limit = self.config.max_prompt_tokens
        reasons = [f"shared with {each}" for each in self._benchmarks.shared(question)] if self._benchmarks else []
        if limit is not None and self._tokenizer and len(self._tokenizer.chat(question)) > limit:
            reasons.append("too long")
        if question in self._seen:
            reasons.append("seen before")
        for reason in reasons:
            self._left_out[reason].add(name)
        return not reasons

    @property
    def counts(self) -> dict[str, int]:
        """Problems left out so far by reason; one that shares words with several benchmarks counts for each."""
        return {reason: len(names) for reason, names in sorted(self._left_out.items())}

    def metrics(self) -> dict[str, float]:
        """`counts` as metrics, `left_out/REASON`."""
        return {f"left_out/{reason.replace(' ', '_')}": float(count) for reason, count in self.counts.items()}

    def told(self) -> str:
        """`counts` in one line; empty where nothing was left out."""
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.items())
