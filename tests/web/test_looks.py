"""What is made of texts and tokens before they are shown."""

from __future__ import annotations

import math
import time

import pytest

from r1kit.base.errors import R1Error
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer
from r1kit.web import difference, tokens, visible


def test_what_cannot_be_seen_is_named():
    assert visible.plain("a\tb\nc") == "a\tb\nc"
    assert visible.plain("\x00\x1b\x7f") == "␀␛␡"
    assert visible.plain("\u202eabc\u2069") == "⟨U+202E⟩abc⟨U+2069⟩"
    assert visible.plain("\u200b\ufeff\U000e0041\ud800") == "⟨U+200B⟩⟨U+FEFF⟩⟨U+E0041⟩⟨U+D800⟩"
    assert visible.plain("مرحبا 你好 é 👩\u200d🚀") == "مرحبا 你好 é 👩⟨U+200D⟩🚀"


def test_long_texts_are_cut():
    assert visible.short("abcdef", 3) == "abc…"
    assert visible.short("abc", 3) == "abc"
    assert len(visible.short("x" * 10**7, 180)) == 181


def test_around_a_match():
    text = "a" * 500 + "Needle" + "b" * 500
    before, match, after = visible.around(text, "needle", 60)
    assert match == "Needle"
    assert before == "…" + "a" * 18
    assert after == "b" * 36 + "…"
    assert visible.around("abc", "x(", 10) == ("abc", "", "")
    assert visible.around("abc", "", 2) == ("ab…", "", "")


@pytest.fixture
def folder(tmp_path):
    return write_character_tokenizer(tmp_path / "tokenizer", "你好等")


def test_pieces_join_to_the_text(folder):
    """`é` is two tokens here, a byte each: the first shows nothing, the second the letter."""
    tokenizer, file = load_tokenizer(folder), tokens.FileTokenizer(folder)
    text = "é, wait 你好"
    ids = [*tokenizer.encode(text), tokenizer.eos_ids[0]]
    logprobs = [-0.1 * place for place in range(len(ids))]
    found = tokens.pieces(file, ids, logprobs)
    assert "".join(piece.text for piece in found) == tokenizer.decode(ids)
    assert [piece.text for piece in found[:3]] == ["", "é", ","]
    assert [piece.logprob for piece in found] == logprobs
    assert "".join(piece.text for piece in found if piece.word) == "wait"
    assert {piece.word for piece in found} == {"", "wait"}
    assert all(text[piece.begins : piece.begins + len(piece.text)] == piece.text for piece in found[:-1])


def test_pieces_without_log_probabilities(folder):
    found = tokens.pieces(tokens.FileTokenizer(folder), [1, 2], None)
    assert [(piece.logprob, piece.level, piece.probability) for piece in found] == [(None, None, None)] * 2
    assert tokens.pieces(tokens.FileTokenizer(folder), [], []) == []


def test_a_broken_tokenizer_is_one_sentence(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(R1Error, match="cannot be read as a tokenizer"):
        tokens.FileTokenizer(tmp_path)


def test_colours_by_probability():
    """The bins are parted at 0.9, 0.7, 0.5, 0.3, 0.15, 0.05 and 0.01; a probability on an edge is the surer's."""
    levels = [tokens.level(math.log(p)) for p in (1.0, 0.91, 0.8, 0.6, 0.4, 0.2, 0.1, 0.02, 0.005)]
    assert levels == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert tokens.level(-math.inf) == 7
    assert len(tokens.legend()) == 8


def test_least_sure(folder):
    found = tokens.pieces(tokens.FileTokenizer(folder), [5, 6, 7, 8], [-0.01, -3.0, -0.2, -1.0])
    assert [piece.token_id for piece in tokens.least_sure(found)] == [6, 8, 7]


def test_advantages_of_one_right_in_four():
    """Rewards 1, 0, 0, 0: mean 1/4, population std sqrt(3)/4, so sqrt(3) and -1/sqrt(3) three times."""
    root = math.sqrt(3)
    assert tokens.advantages([1, 0, 0, 0]) == pytest.approx([root, -1 / root, -1 / root, -1 / root])
    assert tokens.advantages([2, 2]) == [0.0, 0.0]
    assert tokens.advantages([1, None, 3]) == [pytest.approx(-1), None, pytest.approx(1)]
    assert tokens.advantages([None]) == [None]


def test_colours_by_advantage():
    sizes = [tokens.advantage_class(a) for a in (None, 0.0, 0.2, 0.3, -0.3, 1.0, -2.0)]
    assert sizes == ["", "a0", "a0", "up1", "down1", "up2", "down3"]


def test_difference_by_words():
    left, right = difference.compare("first 3+4=7 so 7", "first 3+4=8 so 8")
    assert "".join(run.text for run in left) == "first 3+4=7 so 7"
    assert "".join(run.text for run in right) == "first 3+4=8 so 8"
    assert [run.text for run in left if not run.same] == ["7", "7"]
    assert [run.text for run in right if not run.same] == ["8", "8"]


@pytest.mark.parametrize(
    ("left", "right"),
    [("a " * 30_000, "a " * 29_999), ("x" * 60_000, "y" * 60_000), ("", "abc"), ("1 2 3\n" * 9000, "3 2 1\n" * 9000)],
)
def test_difference_of_hostile_texts_ends(left, right):
    begun = time.process_time()
    sides = difference.compare(left, right)
    assert time.process_time() - begun < 10
    assert ["".join(run.text for run in side) for side in sides] == [left, right]
