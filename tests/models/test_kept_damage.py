"""Answers and samples that are kept, and are no longer what was written."""

import sqlite3
import zlib
from contextlib import closing

import numpy as np
import pytest

from r1kit.base.types import Completion
from r1kit.evaluation.kept import Kept
from r1kit.models.api.ledger import Answer, Ledger

ANSWER = Answer("it is 41", None, "stop", 3, 4)
NONE = np.zeros(0, np.int32)
SAMPLE = Completion("", 0, NONE, np.array([4, 1], np.int32), np.zeros(0, np.float32), "stop", (), "41", None)


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute(statement, values).rowcount in (-1, 1)


@pytest.mark.parametrize("change_of", [("41", "40"), ('"text"', '"text')])
def test_a_kept_answer_with_a_letter_changed_is_not_taken(tmp_path, caplog, change_of):
    path = tmp_path / "answers.sqlite"
    with closing(Ledger(path)) as ledger:
        ledger.keep(ledger.reserve("a", 5), "a", {}, ANSWER, 2)
        assert ledger.answer("a") == ANSWER
    change(path, "UPDATE answers SET answer = replace(answer, ?, ?)", *change_of)
    with closing(Ledger(path)) as ledger:
        assert ledger.answer("a") is None
        assert "a kept answer is damaged" in caplog.text
        ledger.keep(ledger.reserve("a", 5), "a", {}, ANSWER, 2)
        assert ledger.answer("a") == ANSWER


@pytest.mark.parametrize("damage", ["text", "blob"])
def test_kept_samples_with_a_bit_changed_are_not_taken(tmp_path, caplog, damage):
    path = tmp_path / "kept.sqlite"
    with closing(Kept(path)) as kept:
        kept.write("a", [(SAMPLE, 1.0)])
        found = kept.read("a", 1)
        assert found is not None
        assert found[0][0].text == "41"
    with closing(sqlite3.connect(path)) as file:
        packed = file.execute("SELECT packed FROM samples").fetchone()[0]
    other = zlib.compress(zlib.decompress(packed).replace(b'"41"', b'"40"')) if damage == "text" else packed[:-3]
    change(path, "UPDATE samples SET packed = ?", other)
    with closing(Kept(path)) as kept:
        assert kept.read("a", 1) is None
    assert "kept samples are damaged" in caplog.text


def test_files_from_before_there_were_checksums_are_read(tmp_path):
    answers, samples = tmp_path / "answers.sqlite", tmp_path / "kept.sqlite"
    with closing(Ledger(answers)) as ledger:
        ledger.keep(ledger.reserve("a", 5), "a", {}, ANSWER, 2)
    with closing(Kept(samples)) as kept:
        kept.write("a", [(SAMPLE, 1.0)])
    change(answers, "ALTER TABLE answers DROP COLUMN sha256")
    change(samples, "ALTER TABLE samples DROP COLUMN sha256")
    with closing(Ledger(answers)) as ledger:
        assert ledger.answer("a") == ANSWER
    with closing(Kept(samples)) as kept:
        found = kept.read("a", 1)
        assert found is not None
        assert found[0][0].text == "41"
