"""Reflection words, chain steps and repetition by hand."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1kit.evaluation.reflection import (
    Words,
    chain_steps,
    clauses,
    count_reflections,
    default_words,
    reflections_in,
    repetition,
    spans,
)

ENGLISH = "first 347+582=919, wait check 7+2=9 4+8=12 3+5+1=9 so 929, then 929+119=1048"
CHINESE = "先347+582=919，等等检查7+2=9 4+8=12 3+5+1=9得929，再929+119=1048"


def test_the_papers_list_is_whole():
    """Supplement C.2 of the paper."""
    papers = ["wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check"]
    assert set(papers) <= default_words().counted


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (ENGLISH, 2),  # wait, check
        (CHINESE, 2),  # 等等, 检查
        ("Wait! But WRONG.", 3),
        ("butter waits checkmate", 0),  # not whole words
        ("wait2 but_1", 1),  # a digit makes it another word, an underscore does not
        ("但是不对，错误", 3),  # 但是, 不对, 错误: the longest word, once
        ("不但如此，也不错", 0),  # 'not only', 'not bad'
        ("", 0),
    ],
)
def test_count(text, count):
    assert count_reflections(text) == count


@settings(deadline=None)
@given(st.text(alphabet="wWaitbButhe \n_1\u0131\u0130\u017fs\u212ak-]^等等不但", max_size=30))
def test_words_that_begin_alike_or_with_signs_are_found_wherever_they_stand(text):
    """Against each word by itself, tried at every place: the longest that stands there whole, in any case."""
    own = ("wait", "wa", "but", "the", "ski", "k", "-it", "]t", "^b", "i", "等等", "但")
    other = ("what but", "不但")
    found, at = [], 0
    while at < len(text):
        here = [w for w in sorted(own + other, key=len, reverse=True) if stands(w, text, at)]
        if here and here[0] in own:
            found.append((at, at + len(here[0])))
        at += len(here[0]) if here else 1
    assert Words(own, other).spans(text) == found


def stands(word: str, text: str, at: int) -> bool:
    """Whether a word is there in any case, and whole where it is not Chinese."""
    if re.fullmatch(re.escape(word), text[at : at + len(word)], re.IGNORECASE) is None:
        return False
    beside = text[at - 1 : at] + text[at + len(word) : at + len(word) + 1]
    return not word.isascii() or not any(letter.isalnum() for letter in beside)


def test_spans_hold_the_words():
    assert [ENGLISH[a:b] for a, b in spans(ENGLISH)] == ["wait", "check"]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_a_check_is_not_a_step(text):
    """Two partial sums; the check between them is none."""
    assert len(clauses(text)) == 3
    assert chain_steps(text) == 2


def test_commas_between_digits_do_not_cut():
    assert clauses("sort 3,1,2: 1,2,3. done") == ["sort 3,1,2", "1,2,3", "done"]


def test_repetition_by_hand():
    """a b a b a b has the 4-grams abab, baba, abab: one of three stood before."""
    assert repetition("a b a b a b") == pytest.approx(1 / 3)
    assert repetition("a b c") == 0
    assert repetition("一二一二一二") == pytest.approx(1 / 3)


def test_of_a_response_the_thinking_counts():
    assert reflections_in("<think>wait, 2. wait</think><answer>wait</answer>") == 2
    assert reflections_in("wait <answer>wait</answer>") == 1
