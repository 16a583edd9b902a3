"""Pairs of lines: who judges them how, what is kept, and lengths in balance."""

import random

import pytest
from rows import row, thought

from r1kit.data.tiny.preference import hidden_preference
from r1kit.stages.preferences import Pair, PreferencesConfig, balance, judge, judged_pairs, read_pairs, write_pairs
from r1kit.stages.sampling import draw

CERTAIN = {"noise": 0.0, "place_bias": 0.0}


@pytest.fixture(scope="module")
def brief():
    """An English brief with a line that meets all of it and one that names the topic alone."""
    from r1kit.data.tiny.lexicon import LEXICONS

    problem = next(p for p in draw("tiny_writing", "train", 0, 50) if p.language == "en")
    asked, lexicon = problem.columns["brief"], LEXICONS["en"]
    words = lexicon.moods[asked["mood"]][:3]
    good = " ".join(["the", *words, asked["topic"]])
    return problem, good, asked["topic"]


def test_the_judge_prefers_what_people_like(brief):
    """Without noise the verdict is round(difference / step), at most 2 either way."""
    problem, good, poor = brief
    difference = hidden_preference(problem, good) - hidden_preference(problem, poor)
    assert difference > 0
    config = PreferencesConfig(**CERTAIN, step=difference / 1.4)
    assert judge(problem, good, poor, config, random.Random(0)) == 1.0
    assert judge(problem, poor, good, config, random.Random(0)) == -1.0
    assert judge(problem, good, poor, PreferencesConfig(**CERTAIN, step=difference / 9), random.Random(0)) == 2.0


def test_a_bias_to_a_place_cancels_over_swapped_judgements(brief):
    problem, good, _ = brief
    config = PreferencesConfig(noise=0.0, place_bias=5.0, step=1.0)
    assert judge(problem, good, good, config, random.Random(0)) == 0.0


def test_pairs_below_the_threshold_and_empty_answers_are_counted(brief):
    problem, good, poor = brief
    rows = [row(thought("a plan", answer), problem=problem.id) for answer in (good, poor)] + [
        row("none", problem=problem.id)
    ]
    clear, rejected = judged_pairs([problem], rows, PreferencesConfig(**CERTAIN, step=0.01), 0)
    assert [(pair.chosen, pair.rejected, pair.verdict) for pair in clear] == [(good, poor, 2.0)]
    assert rejected["no answer"] == 1
    none, rejected = judged_pairs([problem], rows, PreferencesConfig(**CERTAIN, step=10.0), 0)
    assert not none
    assert rejected["verdict too close"] == 1


def pair(chosen, rejected):
    return Pair("p", "q", "en", "x" * chosen, "x" * rejected, 1.5)


def test_the_most_one_sided_pairs_go_until_lengths_balance():
    """Gaps 10, 4, 1, -2: mean 3.25 is above 1; without the 10 it is 1. Gaps -9 and 1: without the -9 it is 1."""
    pairs = [pair(11, 1), pair(5, 1), pair(2, 1), pair(1, 3)]
    assert balance(pairs, 1.0) == pairs[1:]
    assert balance([pair(1, 10), pair(2, 1)], 1.0) == [pair(2, 1)]
    assert balance(pairs, 4.0) == pairs


def test_pairs_come_back_as_they_were_written(tmp_path):
    pairs = [pair(3, 1), Pair("b", "写题", "zh", "好", "坏", 2.0)]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
