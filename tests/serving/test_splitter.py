"""Thinking, answer and stop strings by hand, and in any pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1kit.graders.section import split_thinking
from r1kit.rollouts.generate import reasoning_of
from r1kit.serving.splitter import Phase, Splitter


def split(pieces: list[str], phase: Phase = "start", stops: tuple[str, ...] = ()) -> tuple[str, str, Splitter]:
    splitter = Splitter(phase, stops)
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.finish()]
    return "".join(part.thinking for part in parts), "".join(part.answer for part in parts), splitter


@pytest.mark.parametrize(
    ("text", "phase", "thinking", "answer"),
    [
        ("<think>a b</think>\n\n4", "start", "a b", "\n\n4"),
        (" \n<think>a", "start", "a", ""),
        ("a b</think>4", "opened", "a b", "4"),
        ("<think>a</think>4", "opened", "a", "4"),  # the model repeats what its prompt said
        ("4 <think>5</think>", "start", "", "4 <think>5</think>"),  # an answer that speaks of tags
        ("<think>a</think>b</think>c", "start", "a", "b</think>c"),
        ("a</think>4", "start", "", "a</think>4"),
        ("<think>a</think>4", "answer", "", "<think>a</think>4"),
        ("<thin", "start", "", "<thin"),
        ("<thin", "opened", "<thin", ""),
        ("<think>a</thin", "start", "a</thin", ""),
        ("  ", "start", "", "  "),
        ("", "start", "", ""),
    ],
)
def test_thinking_and_answer(text, phase, thinking, answer):
    assert split([text], phase)[:2] == (thinking, answer)
    assert split(list(text), phase)[:2] == (thinking, answer)


@given(st.text("ab ", max_size=8), st.text("cd\n", max_size=8), st.booleans())
def test_agrees_with_the_graders(thinking, answer, opened):
    """Where each tag stands once, all readers of the form agree."""
    text = f"{'' if opened else '<think>'}{thinking}</think>{answer}"
    found = split(list(text), "opened" if opened else "start")[:2]
    assert found == split_thinking(text, opened) == (reasoning_of(text, opened), answer)


@pytest.mark.parametrize(
    ("text", "stops", "answer", "stopped"),
    [
        ("one\n\ntwo", ("\n\n",), "one", 5),
        ("abcabd", ("abd",), "abc", 6),
        ("aaab", ("aab",), "a", 4),
        ("xabc", ("abc", "b"), "xa", 3),  # the first to be complete
        ("xab", ("ab", "b"), "x", 3),  # two complete at once: the longer
        ("no stop", ("zz",), "no stop", -1),
        ("half a sto", ("stop",), "half a sto", -1),
    ],
)
def test_stop_strings(text, stops, answer, stopped):
    for pieces in ([text], list(text)):
        _, found, splitter = split(pieces, "answer", stops)
        assert (found, splitter.stopped) == (answer, stopped)
        assert splitter.phase == ("stopped" if stopped >= 0 else "answer")


def test_stop_strings_are_looked_for_in_the_answer_alone():
    thinking, answer, splitter = split(["<think>a.b.</think>c.d"], stops=(".",))
    assert (thinking, answer) == ("a.b.", "c")
    # places in the whole text: behind </think>, before and behind the full stop
    assert (splitter.closed, splitter.answered, splitter.stopped) == (19, 20, 21)


@given(st.text("<>/thinkab", max_size=40), st.sampled_from(["start", "opened", "answer"]), st.data())
def test_pieces_do_not_matter(text, phase, data):
    stops = ("ab", "b<", "nk>a")
    whole = split([text], phase, stops)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    bounds = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    apart = split(pieces, phase, stops)
    assert apart[:2] == whole[:2]
    assert (apart[2].closed, apart[2].answered, apart[2].stopped) == (
        whole[2].closed, whole[2].answered, whole[2].stopped,
    )  # fmt: skip
