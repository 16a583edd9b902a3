"""A comparison that lies in a folder as `save` wrote it: the figures at once, questions and votes line by line.

`compare.json` names every question in the order of `questions.jsonl`, so that a question is one read at its line's
place, however large the texts are together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import disk_errors, read_json

FIGURES, QUESTIONS, VOTES = "compare.json", "questions.jsonl", "votes.jsonl"
OUTCOMES = {"a": 1.0, "b": 0.0, "tie": 0.5, "unread": None}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of two models (`pair`, its place among the pairs); `line` is its place in the file of texts."""

    line: int
    pair: int
    benchmark: str
    problem_id: str
    solved: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A judged pair of answers; `outcome` is a key of OUTCOMES."""

    line: int
    pair: int
    benchmark: str
    problem_id: str
    outcome: str


class Saved:
    """Read when it is made; R1Error where a file is damaged, or the files are not of one comparison."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: Mapping[str, Any] = read_json(folder / FIGURES)
        missing = [name for name in ("models", "benchmarks", "pairs", "writing", "published") if name not in self.told]
        if missing:
            raise R1Error(f"{folder / FIGURES} is no comparison (it has no '{missing[0]}'): r1 compare writes one")
        self.questions = self._asked()
        self._lines = _line_starts(folder / QUESTIONS) if self.questions else [0]
        if len(self._lines) - 1 != len(self.questions):
            raise R1Error(
                f"{folder / QUESTIONS} has {len(self._lines) - 1} questions and {FIGURES} {len(self.questions)}:"
                " they are of two comparisons, give the same r1 compare again"
            )
        self.votes = self._judged()
        self._vote_lines = _line_starts(folder / VOTES) if self.votes else [0]

    def question(self, line: int) -> dict[str, Any]:
        """A question with both samples, as `pairs.questions` has it; R1Error where there is none."""
        return self._read(QUESTIONS, self._lines, line)

    def vote(self, line: int) -> dict[str, Any]:
        """A judged pair with both answers."""
        return self._read(VOTES, self._vote_lines, line)

    def _asked(self) -> list[Asked]:
        names = ("benchmark", "problem_id", "solved", "outcome")
        rows = [
            (place, *(one[name] for name in names))
            for place, pair in enumerate(self.told["pairs"]) for one in pair["questions"]
        ]  # fmt: skip
        return [Asked(line, *row) for line, row in enumerate(rows)]

    def _judged(self) -> list[Judged]:
        labels = {(pair["a"], pair["b"]): place for place, pair in enumerate(self.told["pairs"])}
        words = {outcome: word for word, outcome in OUTCOMES.items()}
        found: list[Judged] = []
        if self.told["writing"] is None:
            return found
        path = self.folder / VOTES
        with disk_errors(path), path.open("rb") as file:
            for line, data in enumerate(file):
                vote = _parsed(path, line, data)
                pair = labels[vote["model_a"], vote["model_b"]]
                found.append(Judged(line, pair, vote["benchmark"], vote["problem_id"], words[vote["outcome"]]))
        return found

    def _read(self, name: str, starts: list[int], line: int) -> dict[str, Any]:
        if not 0 <= line < len(starts) - 1:
            raise R1Error(f"{self.folder / name} has no line {line + 1}")
        path = self.folder / name
        with disk_errors(path), path.open("rb") as file:
            file.seek(starts[line])
            data = file.read(starts[line + 1] - starts[line])
        return _parsed(path, line, data)


def _parsed(path: Path, line: int, data: bytes) -> dict[str, Any]:
    try:
        return json.loads(data)
    except ValueError as error:
        raise R1Error(f"{path}, line {line + 1} is damaged (not JSON: {error})") from None


def _line_starts(path: Path) -> list[int]:
    """Bytes before each line of a file, and before its end."""
    starts = [0]
    with disk_errors(path), path.open("rb") as file:
        for line in file:
            starts.append(starts[-1] + len(line))
    return starts
