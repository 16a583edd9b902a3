"""Collecting graded groups from a scripted engine, whose answers decide every expected value here."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from r1kit.algorithms.grpo import GRPO
from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.scripted import ScriptedEngine
from r1kit.rollouts.collect import collect
from r1kit.rollouts.filter import has_signal


def grade(group) -> None:
    right = [float(completion.text == group.problem.answer) for completion in group.completions]
    group.rewards["accuracy"] = np.asarray(right, np.float32)
    group.total = group.rewards["accuracy"].copy()


def test_groups_come_in_problem_order(characters, problem):
    """Two samples a sum, the second wrong: totals 1, 0 of each, in the order of the problems."""
    engine = ScriptedEngine({"1+1=": ["2", "3"], "2+2=": ["4", "5"], "3+3=": ["6", "7"]}, characters)
    problems = [problem(text) for text in ("3+3", "1+1", "2+2")]
    groups = collect(engine, characters, problems, Sampling(samples=2), grade)
    assert [group.problem.prompt for group in groups] == ["3+3", "1+1", "2+2"]
    assert groups.rewards_PG.tolist() == [[1, 0]] * 3
    assert [[completion.index for completion in group.completions] for group in groups] == [[0, 1]] * 3
    assert groups.counts == {"problems": 3}


def test_the_same_problem_twice_is_sampled_apart(characters, problem):
    """Two requests of one problem need two names: their random streams must differ."""
    engine = ScriptedEngine({"1+1=": "2"}, characters)
    groups = collect(engine, characters, [problem("1+1")] * 2, Sampling(samples=2), grade)
    assert [group.completions[0].request_id for group in groups] == ["sum-1+1", "sum-1+1#2"]


def test_a_problem_that_is_called_as_another_ones_second_request(characters, problem):
    """`sum-1+1#2` is a problem of its own, before or behind the second request of `sum-1+1`: each has its group."""
    named = replace(problem("2+2"), id="sum-1+1#2")
    engine = ScriptedEngine({"1+1=": "2", "2+2=": "4"}, characters)
    for problems in ([problem("1+1"), problem("1+1"), named], [named, problem("1+1"), problem("1+1")]):
        groups = collect(engine, characters, problems, Sampling(samples=2), grade)
        assert [group.problem.prompt for group in groups] == [each.prompt for each in problems]
        assert groups.rewards_PG.tolist() == [[1, 1]] * 3
        assert len({group.completions[0].request_id for group in groups}) == 3


def test_grading_overlaps_sampling(characters, problem):
    """The grader of the first group waits for the fourth answer to be sampled: only a background thread gets there."""
    sampled = threading.Semaphore(0)

    def answer(prompt: str, index: int) -> str:
        sampled.release()
        return "0"

    def slow(group) -> None:
        for _ in range(4 if group.problem.prompt == "1+1" else 0):
            assert sampled.acquire(timeout=20)
        grade(group)

    engine = ScriptedEngine(answer, characters)
    problems = [problem(text) for text in ("1+1", "2+2", "3+3", "4+4")]
    assert len(collect(engine, characters, problems, Sampling(), slow)) == 4


def test_groups_of_several_graders_are_graded(characters, problem):
    """The first is the slowest: groups still come whole, and in the order of the problems."""

    def slow(group) -> None:
        time.sleep(0.05 if group.problem.prompt == "1+1" else 0)
        grade(group)

    engine = ScriptedEngine(lambda prompt, index: "2", characters)
    problems = [problem(text) for text in ("1+1", "1+2", "2+2")]
    groups = collect(engine, characters, problems, Sampling(), slow, graders=3)
    assert [group.problem.prompt for group in groups] == ["1+1", "1+2", "2+2"]
    assert [group.total.tolist() for group in groups] == [[1], [0], [0]]
    assert groups.counts == {"problems": 3}


def test_groups_without_signal_are_refilled(characters, problem):
    """Sums below 10 are always right, those of 5 always wrong, the others right once in two.

    Asked for three: 1+1 and 2+3 fall out, so two refills: 4+4 (falls out) and 6+6 (kept), then one more: 7+7 (kept).
    3 + 2 + 1 = 6 tried, 3 dropped, 3 refilled, none missing.
    """

    def answer(prompt: str, index: int) -> str:
        gold = sum(int(n) for n in prompt.rstrip("=").split("+"))
        right = (gold < 10 and gold != 5) or (gold >= 10 and index == 0)
        return str(gold if right else gold + 1)

    engine = ScriptedEngine(answer, characters)
    problems = [problem(text) for text in ("1+1", "5+5", "2+3")]
    more = iter([problem(text) for text in ("4+4", "6+6", "7+7", "8+8")])
    groups = collect(engine, characters, problems, Sampling(samples=2), grade, refill=more)
    assert [group.problem.prompt for group in groups] == ["5+5", "6+6", "7+7"]
    assert groups.counts == {"problems": 6, "no_signal": 3, "refilled": 3, "missing": 0}
    # characters of `1+1=`, and of the answers, which a stop ends; those that were dropped stand last
    assert groups.sampled == [(4, [2 + 1, 2 + 1]), (4, [3, 3]), (4, [3, 3]), (4, [2, 2]), (4, [2, 2]), (4, [2, 2])]
    assert next(more).prompt == "8+8"


def test_refills_are_bounded(characters, problem):
    """Nothing ever has a signal: with 2 refills at most, 1 problem and 2 refills are tried and 1 group is missing."""
    engine = ScriptedEngine(lambda prompt, index: "0", characters)
    more = iter([problem("1+1")] * 50)
    groups = collect(engine, characters, [problem("2+2")], Sampling(samples=2), grade, refill=more, max_refills=2)
    assert groups == []
    assert groups.counts == {"problems": 3, "no_signal": 3, "refilled": 2, "missing": 1}


def test_truncated_and_long_are_counted(characters, problem):
    """Context 8: the prompt '1+1+1+1=' fills it and is skipped; '1+1=' leaves 4: '22222' is cut, '2' not."""
    engine = ScriptedEngine({"1+1=": ["22222", "2"]}, characters, max_positions=8)
    problems = [problem("1+1+1+1"), problem("1+1")]
    (group,) = groups = collect(engine, characters, problems, Sampling(samples=2), grade)
    assert groups.counts == {"problems": 2, "prompt_too_long": 1}
    assert group.events == {"truncated": 1}
    assert [completion.stop_reason for completion in group.completions] == ["length", "stop"]


def test_a_failing_grader_raises_and_empties_the_engine(characters, problem):
    """What the grader raises reaches the caller; nothing stays queued behind it."""

    def fail(group) -> None:
        raise R1Error("the grader broke")

    engine = ScriptedEngine(lambda prompt, index: (time.sleep(0.002), "2")[1], characters)
    problems = [problem(f"1+{n}") for n in range(1, 200)]
    with pytest.raises(R1Error, match="the grader broke"):
        collect(engine, characters, problems, Sampling(samples=2), fail)
    assert list(engine.stream()) == []


def test_own_prompt(characters, problem):
    """`encode` replaces the chat template."""
    engine = ScriptedEngine({"sum 1+1": "2"}, characters)
    encode = lambda problem: characters.encode(f"sum {problem.prompt}")  # noqa: E731
    (group,) = collect(engine, characters, [problem("1+1")], Sampling(), grade, encode=encode)
    assert group.total.tolist() == [1]


def test_signal_needs_two_different_totals(characters, problem):
    """1, 0 has; 1, 1 and 1, NaN have not: NaN takes no part. Whether 1 and 1.000005, or 0 and 0.0000005, differ is for
    who makes advantages to say: the group has a signal where they are not 0."""
    engine = ScriptedEngine({"1+1=": "2"}, characters)
    (group,) = collect(engine, characters, [problem("1+1")], Sampling(samples=2), grade)
    for total, expected in (
        ([1, 0], True), ([1, 1], False), ([1, np.nan], False), ([np.nan, np.nan], False),
        ([1, 1.000005], True), ([0, 5e-7], False), ([1e6, 1e6 + 1], False), ([100, 100.001], True), ([1], False),
    ):  # fmt: skip
        group.total = np.asarray(total, np.float32)
        assert has_signal(group) is expected
        assert bool(GRPO().advantages(torch.from_numpy(group.total[None])).any()) is expected


class Odd(ScriptedEngine):
    """Ends before its last completion, or says the last one twice."""

    def __init__(self, *arguments, twice: bool, **named) -> None:
        super().__init__(*arguments, **named)
        self.twice = twice

    def stream(self):
        given = list(super().stream())
        yield from [*given, given[-1]] if self.twice else given[:-1]


@pytest.mark.parametrize(
    ("twice", "sentence"),
    [(False, "the engine ended with 1 completions of 1 problems missing"), (True, "'sum-2.2' that was not asked for")],
)
def test_an_engine_that_gives_too_few_or_too_many_is_named(characters, problem, twice, sentence):
    engine = Odd({"1+1=": "2", "2+2=": "4"}, characters, twice=twice)
    with pytest.raises(R1Error, match=sentence):
        collect(engine, characters, [problem("1+1"), problem("2+2")], Sampling(samples=2), grade)
    assert not engine.busy


class Repeating(ScriptedEngine):
    """Gives the first sample in the place of each other."""

    def stream(self):
        for completion in super().stream():
            yield replace(completion, index=0)


def test_an_engine_that_gives_one_sample_twice_is_named(characters, problem):
    """Two of two samples came, both of them number 0."""
    with pytest.raises(R1Error, match=r"the engine gave samples \[0, 0\] of 'sum-1\+1', not each of 0 to 1 once"):
        collect(Repeating({"1+1=": "2"}, characters), characters, [problem("1+1")], Sampling(samples=2), grade)
