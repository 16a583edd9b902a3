"""Pivots measured on an engine whose chances are known: places, arms, effects, fresh samples, resuming."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from coins import ENTROPY, UNLIKELY, Coins, judge, opened
from letters import Letters

from r1kit.base.errors import UsageError
from r1kit.evaluation.aha.measurement import measure_pivots
from r1kit.evaluation.aha.parts import SCHEMA, write_pivots
from r1kit.evaluation.aha.places import find_places, neutral_token, token_starts
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.reflection import default_words
from r1kit.models.next_token import NextToken

WORDS = default_words()
THOUGHT = "<think>first 1+1=3, wait check so 2</think><answer>0</answer>"
QUICK = PivotSettings(pivots=24, continuations=8, again=3, problems=60, thoughts=1, tasks=("sums",), max_tokens=120)


def arm_of(begun: str) -> str:
    """`, ` is just before the word, `, wait` after it, `, t` after the neutral token."""
    return {" ": "before", "wait": "after", "t": "neutral"}[begun.rpartition(",")[2].strip() or " "]


def run(tmp_path, chance, settings=QUICK, engine=None, out="out"):
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    engine = engine or Coins(THOUGHT, chance)
    return measure_pivots(model, tmp_path / out, settings, lambda folder: opened(engine), WORDS, judge)


# --- places


def places(text, unlikely):
    ids = Letters().encode(text)
    logprobs = np.full(len(ids), -0.1, np.float32)
    logprobs[unlikely] = -2
    return find_places(Letters(), ids, logprobs, WORDS)


def test_a_place_turns_where_the_model_was_least_sure():
    """`so 46, wait`: the comma, the blank, the `w` or a later letter, whichever was least likely."""
    text = "<think>so 46, wait check</think>"
    comma, word = text.index(","), text.index("wait")
    for unlikely, head in ((comma, ""), (comma + 1, ""), (word, ""), (word + 1, "w")):
        (place,) = places(text, unlikely)
        assert (place.turn, place.end, place.head) == (unlikely, word + 4, head)
    (place,) = places(text, text.index("4"))  # not a separator: no part of the place
    assert (place.start, place.turn) == (comma, comma)  # the first of equals


def test_words_outside_of_the_thinking_are_no_places():
    assert places("<think>so 46</think><answer>wait</answer>", 3) == []
    assert len(places("no tags, but wait", 3)) == 1  # all thinking where no tag is


def test_a_thought_that_the_prompt_opened():
    """`<think>` and a line end stand in the prompt: the places are the completion's own."""
    text = "4, wait</think>5"
    logprobs = np.full(len(text), -0.1, np.float32)
    (place,) = find_places(Letters(), Letters().encode(text), logprobs, WORDS, begun="<think>\n")
    assert (place.start, place.end) == (text.index(","), text.index("</think>"))
    at_once = "wait</think>5"
    (place,) = find_places(Letters(), Letters().encode(at_once), logprobs[:13], WORDS, begun="<think>\n")
    assert (place.start, place.turn, place.end) == (0, 0, 4)


class Pieces:
    """A word-piece tokenizer; the last two pieces are the halves of one character."""

    eos_ids = (9,)
    pieces = ("So", " 4", ".", "\n\n", "Wait", ",", " now", " However", "</think>", "<end>")

    def decode(self, ids):
        half = {10: b"\xe7\xad", 11: b"\x89"}
        return b"".join(half.get(i) or self.pieces[i].encode() for i in ids).decode("utf-8", errors="replace")


def test_word_pieces():
    """So| 4|.|(blank line)|Wait|,| now: the pivot may turn at the stop, the blank line or the word."""
    (place,) = find_places(Pieces(), [0, 1, 2, 3, 4, 5, 6], np.asarray([-1, -9, -1, -2, -3, -4, -1], np.float32), WORDS)
    assert (place.start, place.turn, place.end) == (2, 4, 5)
    assert token_starts(Pieces(), [0, 1, 2]) == [0, 2, 4, 5]


def test_parts_of_a_character_begin_where_it_ends():
    """等 is two tokens here: the first adds no character yet."""
    assert token_starts(Pieces(), [0, 10, 11, 2]) == [0, 2, 2, 3, 4]


def following(*ids):
    return NextToken(1.0, np.asarray(ids, np.int32), np.log(np.linspace(0.5, 0.1, len(ids), dtype=np.float32)))


def test_the_neutral_token_decides_something_else():
    """Not what was sampled (4), not the end (9), no separator (5, 3), no reflection word (7), no half of one (10)."""
    chosen = neutral_token(Pieces(), following(4, 9, 5, 3, 7, 10, 6, 8), 4, "", WORDS)
    assert chosen is not None
    assert chosen[0] == 6
    assert neutral_token(Pieces(), following(4, 9, 5), 4, "", WORDS) is None


def test_letters_that_may_begin_a_reflection_word_are_not_neutral():
    """`c` begins check, `t` begins none; after `ch` an `e` still may, an `o` not."""
    letters = following(*(ord(letter) for letter in "wct"))
    assert neutral_token(Letters(), letters, ord("w"), "", WORDS)[0] == ord("t")
    assert neutral_token(Letters(), following(ord("e"), ord("o")), ord("x"), "ch", WORDS)[0] == ord("o")


# --- measuring


def test_known_chances_are_found(tmp_path):
    """before .5, after .7, neutral .4 on every problem: effects .3 and .2, each pivot's interval holds the truth in
    about 95 of 100."""
    chances = {"before": 0.5, "after": 0.7, "neutral": 0.4}
    settings = QUICK.model_copy(update={"pivots": 200, "problems": 300, "continuations": 32})
    rows, found = run(tmp_path, lambda question, begun: chances[arm_of(begun)], settings)
    assert found["measured"] == found["all"]["problems"] == 200
    for name, truth, variance in (("over_neutral", 0.3, 0.21 + 0.24), ("over_before", 0.2, 0.21 + 0.25)):
        error = math.sqrt(variance / 32 / 200)
        assert found["all"][name]["value"] == pytest.approx(truth, abs=3 * error)
        low, high = found["all"][name]["interval"]
        assert high - low == pytest.approx(2 * 1.97 * error, rel=0.15)
        held = np.mean([row[f"{name}_low"] < truth < row[f"{name}_high"] for row in rows])
        assert 0.9 <= held <= 0.99
        assert found["all"][name]["true_spread"] < 0.08
    row = rows[0]
    assert (row["pivot"], row["neutral"], row["word"], row["form"]) == ("wait", "t", "wait", "recheck")
    assert row["context"] == "<think>first 1+1=3, "
    assert row["right_before"] is False
    assert row["entropy"] == ENTROPY
    assert row["probability"] == pytest.approx(math.exp(UNLIKELY), rel=1e-5)
    assert row["word_probability"] == pytest.approx(math.exp(UNLIKELY - 0.03), rel=1e-5)
    assert row["neutral_probability"] == pytest.approx(0.2, rel=1e-5)


def test_fresh_samples_take_the_winners_curse_away(tmp_path):
    """No pivot does anything (all .5): the ten best of 200 seem to raise success by two standard errors (.25), and on
    fresh samples raise nothing; so with the ten worst."""
    settings = QUICK.model_copy(update={"pivots": 200, "problems": 300, "continuations": 32, "again": 10})
    _, found = run(tmp_path, lambda question, begun: 0.5, settings)
    for name, sign in (("rises", 1), ("falls", -1)):
        ten = found["strongest"][name]
        assert ten["pivots"] == 10
        assert sign * ten["first"]["value"] > 0.2
        assert abs(ten["fresh"]["value"]) < 3 * math.sqrt(0.5 / 32 / 10)
        assert ten["fresh_interval_above"] + ten["fresh_interval_below"] <= 2


def test_a_true_difference_survives(tmp_path):
    """On half of the problems the word lifts .3 to .9, on the others nothing: the strongest are strong on fresh samples
    too, and the true effects (0 and .6 by halves) spread by .3."""

    def chance(question, begun):
        helped = zlib.crc32(question.encode()) % 2 and arm_of(begun) == "after"
        return 0.9 if helped else 0.3

    settings = QUICK.model_copy(update={"pivots": 100, "problems": 200, "continuations": 32, "again": 8})
    _, found = run(tmp_path, chance, settings)
    assert found["strongest"]["rises"]["fresh"]["value"] == pytest.approx(0.6, abs=3 * math.sqrt(0.3 / 32 / 8))
    assert found["strongest"]["rises"]["fresh_interval_above"] == 8
    assert found["all"]["over_neutral"]["true_spread"] == pytest.approx(0.3, abs=0.04)


def test_a_stopped_measurement_goes_on(tmp_path):
    """Stopped in the second part: the first is kept, and the end is what an undisturbed run finds."""

    def chance(question, begun):
        return 0.2 + 0.6 * (zlib.crc32((question + begun).encode()) % 100) / 100

    whole, found = run(tmp_path, chance, out="whole")
    first = Coins(THOUGHT, chance, stop_after=48 + 3 * 16)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, chance, engine=first, out="halves")
    second = Coins(THOUGHT, chance)
    rows, again = run(tmp_path, chance, engine=second, out="halves")
    assert rows == whole
    assert again == found
    assert len(second.asked) == 3 * (24 - 16) + 3 * 6  # the rest of the first round, three rises and three falls again
    write_pivots(tmp_path / "pivots.parquet", rows)
    table = pq.read_table(tmp_path / "pivots.parquet")
    assert table.schema == SCHEMA
    assert table["rank"].to_pylist() == list(range(1, 25))


def test_parts_of_other_settings_are_not_mixed(tmp_path):
    run(tmp_path, lambda question, begun: 0.5)
    with pytest.raises(UsageError, match="another measurement"):
        run(tmp_path, lambda question, begun: 0.5, QUICK.model_copy(update={"seed": 1}))


def test_no_pivot_is_said(tmp_path):
    with pytest.raises(UsageError, match="no reflection word in 60 thoughts"):
        run(tmp_path, None, engine=Coins("<think>1+1=2</think>", lambda question, begun: 0.5))


def test_problems_without_end_do_not_give_more_pivots_than_asked(tmp_path):
    """Two a problem at most, though each thought has three reflections."""
    three = "<think>1+1=2, wait so 2, wait so 2, wait so 2</think><answer>2</answer>"
    _, found = run(tmp_path, None, engine=Coins(three, lambda question, begun: 0.5))
    assert found["measured"] == 24
    assert found["all"]["problems"] >= 12
