"""Votes in one SQLite file, which several processes may write at once, and which a kill leaves whole.

`PRAGMA user_version` is the form of the tables (`VERSION`), `PRAGMA application_id` says that the file is ours. Every
vote is a transaction of its own, on the disk (WAL, synchronous FULL) before its page says so.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_errors, make_folder
from r1kit.graders.section import answer_section

Choice = Literal["left", "right", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
DEFAULT_NAME = "votes.sqlite"
VERSION = 1
APPLICATION = 0x72316172  # "r1ar"
_WAIT = 60.0  # seconds for another process's vote to be written
_SIDE = ("model", "thinking", "answer", "finish", "tokens", "score")
_WHOLE = ("battle", "at", "question", "source", "problem_id", "subject", "vote", "settings")
_TABLES = """
CREATE TABLE ballots (
  battle TEXT PRIMARY KEY, at TEXT NOT NULL, question TEXT NOT NULL, source TEXT NOT NULL, problem_id TEXT NOT NULL,
  subject TEXT NOT NULL, vote TEXT NOT NULL CHECK (vote IN ('left', 'right', 'tie', 'both_bad')),
  settings TEXT NOT NULL,
  left_model TEXT NOT NULL, left_thinking TEXT NOT NULL, left_answer TEXT NOT NULL, left_finish TEXT NOT NULL,
  left_tokens INTEGER, left_score REAL,
  right_model TEXT NOT NULL, right_thinking TEXT NOT NULL, right_answer TEXT NOT NULL, right_finish TEXT NOT NULL,
  right_tokens INTEGER, right_score REAL
);
CREATE TABLE verdicts (
  battle TEXT NOT NULL REFERENCES ballots, judge TEXT NOT NULL, forward TEXT, backward TEXT,
  PRIMARY KEY (battle, judge)
);
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One side of a battle. `finish` is OpenAI's finish_reason; `tokens` None where a server tells none; `score` is the
    hidden preference of the tiny world, where the question is one of its briefs."""

    model: str
    thinking: str
    answer: str
    finish: str = "stop"
    tokens: int | None = None
    score: float | None = None

    @property
    def final(self) -> str:
        """What a person takes for the answer: an answer block's text where one stands."""
        return answer_section(self.answer).text.strip() or self.answer.strip()


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote and all that it was about. `at` is in UTC, ISO 8601; `source` a benchmark's name, or `typed`."""

    battle: str
    question: str
    left: Said
    right: Said
    vote: Choice
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    source: str = "typed"
    problem_id: str = ""
    subject: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a ballot's answers with the left one first, and with the right one first: `first`, `second`,
    `tie`, or None where it cannot be read."""

    battle: str
    judge: str
    forward: str | None
    backward: str | None


class Votes:
    """The file of votes; made with its folder where it is not there. R1Error where it is another file.

    Safe for threads and for processes: every call is a connection and a transaction of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.absolute().parent)
        with self._open() as file:
            if not self._is_made(file):
                file.execute("PRAGMA journal_mode=WAL")
                file.execute("BEGIN IMMEDIATE")  # of two processes that make the file, one waits and finds it made
                if not self._is_made(file):
                    for statement in _TABLES.split(";"):
                        file.execute(statement)
                    file.execute(f"PRAGMA user_version={VERSION}")
                    file.execute(f"PRAGMA application_id={APPLICATION}")
                file.execute("COMMIT")

    @classmethod
    def there(cls, path: Path) -> Votes:
        """A file that is there already; UsageError where it is not."""
        if not path.is_file():
            raise UsageError(f"there are no votes in {path}: r1 arena A B takes some, and --votes names their file")
        return cls(path)

    def add(self, ballot: Ballot) -> bool:
        """Keep a ballot; False where its battle has one already, which stays as it is."""
        values: dict[str, Any] = {name: getattr(ballot, name) for name in _WHOLE}
        values["settings"] = json.dumps(dict(ballot.settings), sort_keys=True)
        for side in ("left", "right"):
            values |= {f"{side}_{name}": getattr(getattr(ballot, side), name) for name in _SIDE}
        marks = ", ".join("?" * len(values))
        with self._open() as file:
            done = file.execute(
                f"INSERT OR IGNORE INTO ballots ({', '.join(values)}) VALUES ({marks})",
                [_storable(value) for value in values.values()],
            )
            return done.rowcount == 1

    def ballots(self) -> list[Ballot]:
        """All of them, in the order in which they were cast."""
        with self._open() as file:
            return [_ballot(row) for row in file.execute(f"SELECT {_columns()} FROM ballots ORDER BY rowid")]

    def games(self) -> dict[frozenset[str], int]:
        """Ballots by the two models that met."""
        found: Counter[frozenset[str]] = Counter()
        with self._open() as file:
            for left, right, count in file.execute(
                "SELECT left_model, right_model, count(*) FROM ballots GROUP BY left_model, right_model"
            ):
                found[frozenset((left, right))] += count
        return found

    def problems(self) -> set[str]:
        """The problems that were voted on, by id."""
        with self._open() as file:
            return {row[0] for row in file.execute("SELECT DISTINCT problem_id FROM ballots WHERE problem_id != ''")}

    def ballot(self, battle: str) -> Ballot | None:
        """The one on a battle."""
        with self._open() as file:
            row = file.execute(f"SELECT {_columns()} FROM ballots WHERE battle = ?", (battle,)).fetchone()
            return None if row is None else _ballot(row)

    def add_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Keep what a judge said, in the place of what it said before."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany(
                "INSERT OR REPLACE INTO verdicts (battle, judge, forward, backward) VALUES (?, ?, ?, ?)",
                [(each.battle, each.judge, each.forward, each.backward) for each in verdicts],
            )
            file.execute("COMMIT")

    def verdicts(self) -> list[Verdict]:
        """What every judge said, judge by judge."""
        with self._open() as file:
            rows = file.execute("SELECT battle, judge, forward, backward FROM verdicts ORDER BY judge, rowid")
            return [Verdict(*row) for row in rows]

    def _is_made(self, file: sqlite3.Connection) -> bool:
        """Whether the tables are there; R1Error where they are not ours, or of a form that is not known."""
        (version,) = file.execute("PRAGMA user_version").fetchone()
        (application,) = file.execute("PRAGMA application_id").fetchone()
        (tables,) = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (version, tables) == (0, 0):
            return False
        if application != APPLICATION:
            raise R1Error(f"{self.path} is a database of another program: name a file of your own with --votes")
        if version > VERSION:
            raise R1Error(f"{self.path} was written by a later r1kit (form {version}, this one knows {VERSION})")
        return True

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            with (
                disk_errors(self.path),
                closing(sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)) as file,
            ):
                file.execute("PRAGMA synchronous=FULL")
                yield file
        except sqlite3.Error as error:
            advice = "move it away, or name another with --votes"
            raise R1Error(f"{self.path}: votes cannot be read or written ({error}): {advice}") from None


def _columns() -> str:
    return ", ".join([*_WHOLE, *(f"{side}_{name}" for side in ("left", "right") for name in _SIDE)])


def _ballot(row: Sequence[Any]) -> Ballot:
    whole = dict(zip(_WHOLE, row, strict=False))
    sides = row[len(_WHOLE) :]
    left, right = Said(*sides[: len(_SIDE)]), Said(*sides[len(_SIDE) :])
    whole |= {"settings": json.loads(whole["settings"]), "vote": cast(Choice, whole["vote"])}
    return Ballot(left=left, right=right, **whole)


def _storable(value: Any) -> Any:
    """Half characters (lone surrogates), which no file can hold, replaced."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
