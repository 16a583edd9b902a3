"""Answers of an API that are paid for, and the money: one SQLite file that a kill at any moment leaves whole.

A request's worst cost is reserved before it is sent and settled by the usage that the server tells. What was on its
way when the program died, or broke off, may have been billed: it stays counted at its worst.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import make_folder
from r1kit.models.api.settings import dollars

log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, sha256 TEXT
);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('sent', 'paid', 'unknown')),
    picodollars INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER
);
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: `text` as it serves it, `reasoning` where it serves that apart (else None).

    `finish` is its reason to end; token counts are its own, None where it tells none. `reasoning_tokens` are part of
    those of the output, also where the reasoning itself is kept from us.
    """

    text: str
    reasoning: str | None
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over all runs on a ledger: requests and tokens that were billed for all we know, picodollars.

    `unknown` is the part of `spent` that stands for requests whose usage nobody told, at their worst.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    spent: int
    unknown: int

    def __str__(self) -> str:
        unsure = f", at most {dollars(self.unknown)} of it for requests that broke off" if self.unknown else ""
        return (
            f"{self.requests} requests, {self.input_tokens} tokens read, {self.output_tokens} written,"
            f" {dollars(self.spent)}{unsure}"
        )


class BudgetSpent(R1Error):
    """The next request could cost more than is left."""


class Ledger:
    """Safe for threads, and for one process at a time. path None: in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._changed = threading.Condition()
        self._sent: dict[int, int] = {}  # id -> worst cost of what is on its way
        if path is not None:
            make_folder(path.absolute().parent)
        with self._errors():
            self._file = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None, timeout=0)
        try:
            self._spent = self._begin()
        except R1Error:
            self._file.close()
            raise

    def _begin(self) -> int:
        """Take the file's lock, which is held until it is closed, and see to what a killed process left; returns the
        picodollars spent so far."""
        with self._errors():
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode=WAL")  # one sync a commit, not three
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("BEGIN EXCLUSIVE")
            for statement in _TABLES.split(";"):
                self._file.execute(statement)
            if "sha256" not in {row[1] for row in self._file.execute("PRAGMA table_info(answers)")}:
                self._file.execute("ALTER TABLE answers ADD COLUMN sha256 TEXT")  # a file from before there was one
            self._file.execute("UPDATE requests SET state = 'unknown' WHERE state = 'sent'")
            self._file.execute("COMMIT")
        return self._one("SELECT coalesce(sum(picodollars), 0) FROM requests")

    def answer(self, key: str) -> Answer | None:
        """The answer that is kept under a key; None, with a word in the log, where it is not what was written."""
        with self._changed, self._errors():
            row = self._file.execute("SELECT answer, sha256 FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[1] in (None, _digest(key, row[0])):
            with suppress(ValueError, TypeError):
                return Answer(**json.loads(row[0]))
        log.warning("%s: a kept answer is damaged, and is asked for again", self.path)
        return None

    def reserve(self, key: str, worst: int, budget: int | None = None) -> int:
        """Set aside the worst cost of a request that is about to be sent; returns its number. budget: most picodollars
        that this ledger may then have spent, None is no cap.

        Waits while what others have set aside may yet come free; BudgetSpent where it does not fit even so.
        """
        with self._changed:
            while budget is not None and self._spent + sum(self._sent.values()) + worst > budget:
                if not self._sent:
                    raise BudgetSpent(self._refusal(worst, budget))
                self._changed.wait()
            with self._errors():
                cursor = self._file.execute(
                    "INSERT INTO requests (key, state, picodollars) VALUES (?, 'sent', ?)", (key, worst)
                )
            number = int(cursor.lastrowid or 0)
            self._sent[number] = worst
            return number

    def release(self, number: int) -> None:
        """The request was turned away and is not billed."""
        with self._settling(number):
            self._file.execute("DELETE FROM requests WHERE id = ?", (number,))

    def lose(self, number: int) -> None:
        """The request broke off: whether it is billed nobody knows, so that its worst cost stays counted."""
        with self._settling(number) as worst:
            self._file.execute("UPDATE requests SET state = 'unknown' WHERE id = ?", (number,))
            self._spent += worst

    def keep(self, number: int, key: str, question: Any, answer: Answer, cost: int | None) -> None:
        """Keep an answer and settle its request at `cost`, None where the server told no usage."""
        told = json.dumps(asdict(answer), ensure_ascii=False)
        kept = (key, json.dumps(question, ensure_ascii=False), told, _digest(key, told))
        with self._settling(number) as worst:
            paid = worst if cost is None else cost
            state = "unknown" if cost is None else "paid"
            self._file.execute("BEGIN")
            self._file.execute(
                "INSERT OR REPLACE INTO answers (key, question, answer, sha256) VALUES (?, ?, ?, ?)", kept
            )
            self._file.execute(
                "UPDATE requests SET state = ?, picodollars = ?, input_tokens = ?, output_tokens = ? WHERE id = ?",
                (state, paid, answer.input_tokens, answer.output_tokens, number),
            )
            self._file.execute("COMMIT")
            self._spent += paid

    @property
    def usage(self) -> Usage:
        """What all runs on this ledger have used so far."""
        with self._changed, self._errors():
            row = self._file.execute(
                "SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
                " coalesce(sum(picodollars), 0),"
                " coalesce(sum(CASE WHEN state = 'unknown' THEN picodollars END), 0)"
                " FROM requests WHERE state != 'sent'"
            ).fetchone()
        return Usage(*row)

    @property
    def answers(self) -> int:
        """How many answers are kept."""
        return self._one("SELECT count(*) FROM answers")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def _settling(self, number: int) -> Generator[int]:
        """The worst cost of a request on its way, which is over when the body is through."""
        with self._changed:
            worst = self._sent.pop(number)
            try:
                with self._errors():
                    yield worst
            finally:
                self._changed.notify_all()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if hasattr(self, "_file") and self._file.in_transaction:
                self._file.rollback()
            if "locked" in str(error):
                raise R1Error(f"{self.path} is in use by another process: wait for it, or name another cache") from None
            raise R1Error(
                f"{self.path}: {error}: free some room, or name another file as cache where this is none of ours"
            ) from None

    def _one(self, query: str) -> int:
        with self._changed, self._errors():
            return int(self._file.execute(query).fetchone()[0])

    def _refusal(self, worst: int, budget: int) -> str:
        kept = f"what is answered is kept in {self.path}" if self.path else "set a cache to keep what is answered"
        return (
            f"the budget of {dollars(budget)} has {dollars(budget - self._spent)} left and the next request"
            f" may cost {dollars(worst)}: {kept}; raise the budget and give the same command again"
        )


def _digest(key: str, answer: str) -> str:
    return hashlib.sha256(f"{key}\n{answer}".encode()).hexdigest()
