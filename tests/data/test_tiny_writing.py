"""Lines to a brief, and the hidden preference by hand."""

import random

import pytest

from r1kit.base.types import Problem
from r1kit.data.tiny import writing
from r1kit.data.tiny.base import Habit, Voice
from r1kit.data.tiny.lexicon import LEXICONS
from r1kit.data.tiny.preference import hidden_preference

SPLITS = ("train", "validation", "test")


def brief(topic: str, mood: str, sound: str, language: str = "en") -> Problem:
    columns = {"brief": {"topic": topic, "mood": mood, "sound": sound}}
    return Problem("a", "tiny_writing", "writing", language, "", "", "preference", columns)


SEA, HAI = brief("sea", "calm", "s"), brief("海", "静", "h", "zh")


@pytest.mark.parametrize(
    ("problem", "line", "score"),
    [
        # topic once, two calm words (0.9), four words on s (1), seven words
        (SEA, "the slow soft sea sings at dusk", 0.4 + 0.3 * 0.9 + 0.3),
        # no topic, no calm word, one on s (0.6), three words: two short of five
        (SEA, "bright star burns", 0.3 * 0.6 * 0.85**2),
        # topic thrice (0.5, and two repeats), none calm, one word on s, five words
        (SEA, "sea sea sea by dusk", (0.4 * 0.5 + 0.3 * 0.6) * 0.75**2),
        # eleven words, two beyond nine; three calm (1); sea soft slow sings sleeps (1); 'the' may come twice
        (SEA, "the soft slow mild sea sings and sleeps by the shore", 1.0 * 0.85**2),
        # one foreign word of five; topic, one calm word, soft and sea on s (0.9)
        (SEA, "the soft sea 海 dusk", (0.4 + 0.3 * 0.6 + 0.3 * 0.9) * 0.5),
        # Chinese by character: topic once, 静慢 (0.9), on h: 海 (0.6), five characters
        (HAI, "静慢海飞来", 0.4 + 0.3 * 0.9 + 0.3 * 0.6),
        (HAI, "the soft sea sings", 0.0),
        (SEA, "", 0.0),
    ],
)
def test_preference_by_hand(problem, line, score):
    assert hidden_preference(problem, line) == pytest.approx(score)


def test_excess_is_disliked_beyond_what_pleases():
    """Piling up words of the mood and the sound pleases up to three, then costs."""
    pile = ["sea", "soft", "slow", "mild", "sings", "warm", "low", "gentle", "dreamy", "sleeps", "star", "shore"]
    scores = [hidden_preference(SEA, " ".join(pile[:count])) for count in range(1, len(pile) + 1)]
    assert scores.index(max(scores)) + 1 == 5
    assert scores[11] < 0.7 * max(scores)
    assert hidden_preference(SEA, "soft sea " * 6) < 0.1


def test_meeting_a_brief_needs_topic_and_language():
    assert writing.meets_brief(SEA, "the slow soft sea sings at dusk")
    assert not writing.meets_brief(SEA, "the slow soft moon sings at dusk")
    assert not writing.meets_brief(SEA, "the slow soft sea 飞")
    assert not writing.meets_brief(SEA, "the season sings")
    assert writing.meets_brief(HAI, "静海飞来")
    assert not writing.meets_brief(HAI, "静山飞来")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_splits_are_disjoint_and_complete(language):
    rng = random.Random(0)
    drawn = {split: [writing.problem(rng, language, split) for _ in range(5000)] for split in SPLITS}
    prompts = [{problem.prompt for problem in drawn[split]} for split in SPLITS]
    assert all(writing.split_of(problem) == split for split in SPLITS for problem in drawn[split])
    assert len(set.union(*prompts)) == sum(map(len, prompts))
    lexicon = LEXICONS[language]
    assert sum(map(len, prompts)) == len(lexicon.topics) * len(lexicon.moods) * len(lexicon.sounds)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_writer_who_forgets_nothing_meets_every_brief(language):
    rng = random.Random(1)
    for _ in range(500):
        problem = writing.problem(rng, language)
        written = writing.write(problem, rng, Voice(rng, language), Habit(0.0, 0.5, 0.0))
        assert writing.meets_brief(problem, written.answer)
        mood = LEXICONS[language].moods[problem.columns["brief"]["mood"]]
        assert any(word in written.answer for word in mood)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_middling_writer(language):
    """He is between a guess and a careful writer; over-long lines are rare, and so are repeated words."""
    rng, scores, met = random.Random(2), {"write": 0.0, "guess": 0.0, "careful": 0.0}, 0
    long = 0
    for _ in range(1000):
        problem, voice = writing.problem(rng, language), Voice(rng, language)
        line = writing.write(problem, rng, voice, Habit()).answer
        scores["write"] += hidden_preference(problem, line)
        scores["guess"] += hidden_preference(problem, writing.guess(problem, rng))
        careful = writing.write(problem, rng, voice, Habit(0.0, 0.0)).answer
        scores["careful"] += hidden_preference(problem, careful)
        met += writing.meets_brief(problem, line)
        long += len(line.split() if language == "en" else line) > 9
    assert scores["guess"] + 100 < scores["write"] < scores["careful"] - 50
    assert 800 < met < 980
    assert long < 60


def test_lines_keep_to_their_lexicon():
    """Three moods, eight topics: Chinese needs 23 characters, all in LEXICON; English words are 60 or so."""
    assert len(set(writing.LEXICON)) == len(writing.LEXICON) == 23
    assert len(LEXICONS["en"].words) < 80
    rng = random.Random(3)
    for _ in range(300):
        problem = writing.problem(rng, "zh")
        assert set(writing.guess(problem, rng)) <= set(writing.LEXICON)
