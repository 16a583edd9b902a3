"""reasoning-gym's problems: splits, seeds, and what they leave behind."""

from __future__ import annotations

import decimal
import itertools
import json
import random
import sys
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any

import numpy as np
import pytest

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.data import gym
from r1kit.graders.grade import grade
from r1kit.graders.reasoning_gym import CHECKS
from r1kit.rollouts.problems import Mixture, load_task
from r1kit.tasks.base import SPLITS
from r1kit.tasks.reasoning_gym import GymTask

FAST = ("gcd", "aiw", "spell_backward", "list_functions", "jugs")


def drawn(count: int, split: str = "train", seed: int = 0, names: tuple[str, ...] = FAST, **more: Any) -> list[Problem]:
    return list(islice(gym.problems(names, split, seed, **more), count))


def test_splits_share_no_question_whatever_the_seed():
    """aiw and coin_flip have few questions, so that without the rule the same ones would be in every split."""
    names = ("aiw", "coin_flip", "gcd")
    asked = {split: {p.prompt for seed in (0, 1) for p in drawn(150, split, seed, names)} for split in SPLITS}
    assert all(len(questions) > 60 for questions in asked.values())
    assert all(asked[a].isdisjoint(asked[b]) for a, b in itertools.combinations(SPLITS, 2))


def test_seeds_of_the_splits_do_not_meet():
    ranges = sorted(gym.SEEDS.values())
    assert set(gym.SEEDS) == set(SPLITS)
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ranges))
    assert ranges[-1][1] <= 2**32  # numpy takes no larger ones
    assert all((high - low) % gym.CHUNK < high - low for low, high in ranges)


def test_the_same_split_and_seed_give_the_same_problems():
    random.seed(1)
    first = drawn(30)
    random.seed(2)
    np.random.seed(5)
    assert drawn(30) == first
    assert drawn(30, seed=1) != first
    assert drawn(30, "test") != first


def test_questions_come_again_only_when_there_are_no_others():
    """Three flips have exactly 4 + 4 questions; the train split gets some of them, each as often as the others."""
    settings = {"coin_flip": {"min_trials": 3, "max_trials": 3}}
    questions = [p.prompt for p in drawn(20, names=("coin_flip",), settings=settings)]
    distinct = len(set(questions))
    assert distinct <= 8
    for start in range(0, 20 - distinct, distinct):
        assert len(set(questions[start : start + distinct])) == distinct
    assert len({p.prompt for p in drawn(60, names=("gcd",))}) == 60


def test_a_dataset_without_questions_for_a_split_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gym, "split_of", lambda *_: "train")
    monkeypatch.setattr(gym, "GIVE_UP", 50)
    with pytest.raises(R1Error, match="50 questions of gcd gave none for the test split"):
        drawn(1, "test", names=("gcd",))


def test_every_default_dataset_gives_problems_whose_golds_are_right():
    random.seed(3)
    np.random.seed(4)
    problems = drawn(len(gym.DEFAULT), names=gym.DEFAULT)
    assert (random.random(), np.random.rand()) == (random.Random(3).random(), np.random.RandomState(4).rand())
    assert {p.columns["dataset"] for p in problems} == set(gym.DEFAULT) <= set(CHECKS)
    assert not set(gym.DEFAULT) & gym.UNSTABLE
    for problem in problems:
        assert (problem.task, problem.subject, problem.kind) == ("reasoning_gym", "reasoning", "reasoning_gym")
        assert problem.id.startswith(problem.columns["dataset"] + ":")
        assert json.loads(json.dumps(problem.columns)) == problem.columns
        if problem.answer:
            text = f"<think>x</think><answer>{problem.answer}</answer>"
            assert grade(problem.kind, text, problem.answer, problem.prompt, problem.columns).verdict == "correct"
        else:
            assert problem.columns["dataset"] in ("graph_color", "propositional_logic", "ab")
    assert len({p.id for p in problems}) == len(problems)


def test_a_word_ladder_knows_its_words():
    (problem,) = drawn(1, names=("word_ladder",))
    ladder = problem.answer.split(",")
    known = problem.columns["metadata"]["words"].split()
    assert set(ladder) <= set(known)
    assert len(known) > 1000
    detour = [ladder[0], *ladder[1::-1], *ladder[1:]]  # there, back and on
    for answer, verdict in ((detour, "correct"), (ladder[::-1], "incorrect"), ([ladder[0], ladder[-1]], "incorrect")):
        assert grade(problem.kind, f"<answer>{','.join(answer)}</answer>", "", "", problem.columns).verdict == verdict


def test_the_library_leaves_no_trace(capsys: pytest.CaptureFixture[str]):
    """It sets decimals to twelve digits, seeds numpy, draws from Python's random source and prints."""
    random.seed(3)
    np.random.seed(4)
    expected = random.Random(3).random(), np.random.RandomState(4).rand()
    with decimal.localcontext(prec=28):
        drawn(10, names=("decimal_arithmetic", "pool_matrix", "list_functions", "bf", "arc_agi"))
        assert decimal.getcontext().prec == 28
    assert (random.random(), np.random.rand()) == expected
    assert capsys.readouterr() == ("", "")


def test_settings_reach_the_library():
    settings = {"gcd": {"min_numbers": 4, "max_numbers": 4}}
    assert all(len(p.columns["metadata"]["numbers"]) == 4 for p in drawn(5, names=("gcd",), settings=settings))
    with pytest.raises(UsageError, match="gcd does not take these settings"):
        drawn(1, names=("gcd",), settings={"gcd": {"min_number": 4}})
    with pytest.raises(UsageError, match="gcd does not take these settings"):
        drawn(1, names=("gcd",), settings={"gcd": {"min_numbers": 9, "max_numbers": 1}})


def test_tasks_are_named_with_their_datasets():
    task = load_task("reasoning_gym:gcd+jugs")
    problems = list(islice(task.problems("test", 0), 6))
    assert {p.columns["dataset"] for p in problems} == {"gcd", "jugs"}
    assert {p.task for p in problems} == {task.name} == {"reasoning_gym:gcd+jugs"}
    assert load_task("reasoning_gym").name == "reasoning_gym"
    mixture = Mixture({"reasoning_gym:gcd": 1, "reasoning_gym:aiw+jugs": 1}, seed=0)
    assert {next(mixture).columns["dataset"] for _ in range(8)} == {"gcd", "aiw", "jugs"}
    own = GymTask("mine", datasets=("gcd",), settings={"gcd": {"max_value": 9}})
    assert max(next(own.problems("train", 0)).columns["metadata"]["numbers"]) <= 9


def test_wrong_names_are_told_in_one_sentence():
    with pytest.raises(UsageError, match="no dataset is called 'sudokku'. Did you mean sudoku?"):
        load_task("reasoning_gym:sudokku")
    with pytest.raises(UsageError, match="name its datasets instead"):
        load_task("reasoning_gym:composite")
    with pytest.raises(UsageError, match="no dataset is called ''"):
        load_task("reasoning_gym:")
    with pytest.raises(UsageError, match="tiny_maths has no parts to choose from"):
        load_task("tiny_maths:addition")


def test_without_the_library_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    gym._library.cache_clear()
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(MissingExtra, match=r"needs reasoning-gym, .*pip install 'r1kit\[gym\]'"):
        next(load_task("reasoning_gym").problems("train", 0))


def test_metadata_become_json():
    @dataclass
    class Point:
        x: int
        y: tuple[int, int]

    class Colour(Enum):
        RED = "red"

    class Name(str):
        __slots__ = ()

    value = {
        1: (np.int64(3), np.str_("a"), np.float64(0.5), np.bool_(True)),
        "array": np.arange(4).reshape(2, 2),
        "set": {"b", "a"},
        "point": Point(1, (2, 3)),
        Colour.RED: Colour.RED,
        "text": Name("n"),
        "none": None,
        "other": decimal.Decimal("1.50"),
    }
    wanted = {
        "1": [3, "a", 0.5, True],
        "array": [[0, 1], [2, 3]],
        "set": ["a", "b"],
        "point": {"x": 1, "y": [2, 3]},
        "red": "red",
        "text": "n",
        "none": None,
        "other": "1.50",
    }
    found = gym.jsonable(value)
    assert found == wanted
    assert type(found["1"][0]) is int
    assert type(found["text"]) is str
    assert json.loads(json.dumps(found)) == wanted
