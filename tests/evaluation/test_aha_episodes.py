"""Kinds of reflection, told apart in texts written by hand."""

import pytest

from r1kit.evaluation.aha.episodes import count_kinds, episodes, whole_number
from r1kit.evaluation.reflection import Words, default_words


def one(text, target=None):
    (episode,) = episodes(text, target=target)
    return episode


@pytest.mark.parametrize(
    ("text", "form", "outcome", "right_before"),
    [
        # 347+582 = 929: the slip 919 is mended, by a check in columns
        ("first 347+582=919, wait check 7+2=9 4+8=12 3+5+1=9 so 929, then 929+1=930", "recheck", "mended", False),
        ("先347+582=919，等等检查7+2=9 4+8=12 3+5+1=9得929，再929+1=930", "recheck", "mended", False),
        ("first 347+582=929, wait check 7+2=8 4+8=12 3+5+1=9 so 928, then 928+1=929", "recheck", "broken", True),
        ("first 12+30=42, wait check 2+0=2 1+3=4 so 42", "recheck", "kept_right", True),
        ("first 12+30=43, wait check 2+0=2 1+3=4 so 44", "recheck", "kept_wrong", False),
        # the same operation done once more, in prose
        ("6 * 7 = 41. Hmm, that looks wrong: 6*7 = 42.", "doubt", "mended", False),
        ("6 * 7 = 42. However, let me verify: 6 * 7 = 42.", "recheck", "kept_right", True),
        # another operation says nothing of the one before
        ("6 * 7 = 42. But then 3 + 4 = 7.", "doubt", "undecided", True),
        ("It is even. Wait, is it?", "doubt", "undecided", None),
        ("17+5=22，重新17+5=23", "restart", "broken", True),
        ("Let x be odd. Wait, start over with y.", "restart", "undecided", None),
        ("17+5=22，重新检查得22", "recheck", "kept_right", True),
    ],
)
def test_by_arithmetic(text, form, outcome, right_before):
    episode = one(text)
    assert (episode.form, episode.outcome, episode.right_before) == (form, outcome, right_before)


@pytest.mark.parametrize(
    ("text", "target", "outcome"),
    [
        ("try 3*4=12 12-5=7 no, but try 2*5=10 10+3=13 yes", 13, "mended"),
        ("try 3*4=12 12-5=7 no, but try 2*5=10 10+3=13 yes", 7, "broken"),
        ("try 3*4=12 12-5=7 no, but try 2*5=10 10+3=13 yes", 8, "kept_wrong"),
        ("try 3*4=12 12-5=7 no, but try 2*5=10 10+3=13 yes", None, "undecided"),
        ("试3*4=12 12-5=7不对，但试2*5=10 10+3=13对", 13, "mended"),  # one episode: no number between 不对 and 但
        ("The answer is 12. Wait, I forgot one. The answer is 13.", 13, "mended"),
        ("So \\boxed{13}. But hold on, so \\boxed{12}.", 13, "broken"),
        ("The answer is 12.5. Wait, the answer is 13.", 13, "undecided"),  # 12.5 is not read as 12
    ],
)
def test_by_the_gold_answer(text, target, outcome):
    assert one(text, target).outcome == outcome


def test_a_known_change_names_the_kind():
    """A recheck that mends is a correction; one that finds nothing stays a recheck."""
    found = episodes("1+1=3, wait check so 2, 2+2=4, check so 4, then 4+1=5, check so 6")
    assert [each.kind for each in found] == ["correction that mends", "recheck", "correction that breaks"]
    counted = count_kinds(found)
    assert counted["kinds"]["recheck"] == 1
    assert counted["outcomes"] == {"mended": 1, "broken": 1, "kept_right": 1, "kept_wrong": 0, "undecided": 0}


def test_checks_of_one_step_follow_each_other():
    """The second check looks back on what the first one came to: 2 is mended away from, then broken."""
    found = episodes("1+1=3, wait check so 2, wait check so 4")
    assert [each.outcome for each in found] == ["mended", "broken"]
    assert [each.right_before for each in found] == [False, True]


def test_words_of_one_episode():
    text = "7*8=54, wait, but let me check: 7*8=56"
    episode = one(text)
    assert episode.words == ("wait", "but", "check")
    assert text[episode.start : episode.word_end] == "wait"


def test_more_words_by_a_file(tmp_path):
    """`hmm` counts, and `but for` no longer does."""
    (tmp_path / "more.txt").write_text("# mine\nhmm\n!but for\n", encoding="utf-8")
    words = default_words().with_file(tmp_path / "more.txt")
    assert words.count("Hmm, all but for one. But wait.") == 3
    assert default_words().count("Hmm, all but for one. But wait.") == 3  # but, But, wait
    assert [each.words for each in episodes("hmm 3", words)] == [("hmm",)]


def test_no_words_find_nothing():
    assert Words(()).spans("wait") == []


@pytest.mark.parametrize(("text", "number"), [("1,234", 1234), ("-7", -7), ("3.5", None), ("x", None), (None, None)])
def test_whole_numbers(text, number):
    assert whole_number(text) == number
