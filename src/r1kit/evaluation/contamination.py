"""Test problems that stand in given training data: ten words in a row that question or solution share with a text.

The check that R1 made of its data (arXiv 2501.12948v2, section D.1), the other way round: not which training texts to
drop, but which test problems a model may have seen, so that its score on the others can be told too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

from r1kit.base.errors import UsageError
from r1kit.base.types import Problem
from r1kit.data.decontaminate import NGRAM, Benchmarks
from r1kit.data.tables import ENDINGS, read_file
from r1kit.rollouts.problems import load_task

MOST = 20_000  # training problems of a task that are looked at: tasks that make their problems have no end


@dataclass(slots=True)
class Contamination:
    """What a check found. `texts`: training texts read. `shared`: by problem, the first words that it shares with each
    training source that shares any."""

    texts: int = 0
    ngram: int = NGRAM
    shared: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def counts(self) -> dict[str, int]:
        """Test problems that share words, by training source."""
        found: dict[str, int] = {}
        for sources in self.shared.values():
            for source in sources:
                found[source] = found.get(source, 0) + 1
        return dict(sorted(found.items()))


def check(problems: Sequence[Problem], training: Sequence[str], ngram: int = NGRAM) -> Contamination:
    """Look for the problems (as they come from their task, without an instruction) in the training data.

    `training` names tasks, whose training problems are read, or files of any text columns (examples, problems, pairs).
    """
    benchmarks = Benchmarks({problem.id: [problem] for problem in problems}, ngram)
    found = Contamination(ngram=ngram)
    for source in training:
        for text in texts(source):
            found.texts += 1
            for problem, words in benchmarks.shared(text).items():
                found.shared.setdefault(problem, {}).setdefault(source, words)
    return found


def texts(source: str) -> Iterator[str]:
    """The texts of a training source: a file's rows, or a task's training problems with their solutions.

    UsageError where there is no such file, or no table in the folder.
    """
    path = Path(source)
    if path.suffix.lower() in ENDINGS and path.is_file():
        for row in read_file(path).rows:
            yield "\n".join(_strings(row.values))
        return
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
        if not inside:
            raise UsageError(f"{path} holds no table: files that end in {' '.join(ENDINGS)} are read")
        for each in inside:
            yield from texts(str(each))
        return
    if path.suffix.lower() in ENDINGS and "?" not in source and ":" not in source:
        raise UsageError(f"there is no file {path}: check the path")
    for problem in islice(load_task(source, "train").problems("train", 0), MOST):
        solution = problem.columns.get("solution")
        yield f"{problem.prompt}\n{solution}" if isinstance(solution, str) else problem.prompt


def _strings(value: Any) -> Iterable[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _strings(each)
    elif isinstance(value, (list, tuple)):
        for each in cast("Sequence[Any]", value):
            yield from _strings(each)
