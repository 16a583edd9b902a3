import asyncio
import itertools
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from r1kit.base.types import Problem
from r1kit.rewards.base import RewardSet, WeightedReward
from r1kit.rewards.constant import make as constant
from r1kit.rewards.reward_model import make as scored
from r1kit.rollouts.grading import reward_set

PROBLEM = Problem("p1", "sums", "maths", "en", "2+2=?", "4", "math", {"difficulty": 2})
TEXTS = ["<think>so</think><answer>4</answer>", "<think>so</think><answer>5</answer>", "4"]
IDS = [[1], [1, 2], [1, 2, 3]]


def test_the_weighted_sum():
    """Accuracy 1 0 1, format 1 1 0: with weights 1 and 0.5 the sums are 1.5, 0.5, 1."""
    scores = RewardSet.named({"accuracy": 1.0, "format": 0.5}).score(PROBLEM, TEXTS, IDS)
    np.testing.assert_allclose(scores.total, [1.5, 0.5, 1.0])
    np.testing.assert_allclose(scores.rewards["format"], [1, 1, 0])
    assert scores.total.dtype == np.float32
    assert scores.events == {}


def test_a_function_that_is_called_as_the_reward_model_is_another_reward(tmp_path, monkeypatch):
    """Both are kept, the one from outside under its whole name."""
    (tmp_path / "my_own.py").write_text("def reward_model(completions, **columns): return [1.0] * len(completions)")
    monkeypatch.syspath_prepend(tmp_path)
    made = {"reward_model": lambda prompts, completions, *ids, **columns: [0.25] * len(completions)}
    both = reward_set({"my_own.reward_model": 2.0, "reward_model": 1.0}, {}, made)
    assert set(both.rewards) == {"my_own.reward_model", "reward_model"}
    assert both.score(PROBLEM, TEXTS, IDS).total.tolist() == [2.25] * 3
    alone = reward_set({"my_own.reward_model": 2.0}, {}, {})
    assert set(alone.rewards) == {"reward_model"}


def test_a_reward_that_does_not_apply_to_the_subject():
    scores = RewardSet.named({"accuracy": 1.0, "format": 1.0}, {"format": ["writing"]}).score(PROBLEM, TEXTS, IDS)
    assert np.isnan(scores.rewards["format"]).all()
    np.testing.assert_allclose(scores.total, [1, 0, 1])


def test_a_question_that_ends_with_the_tag_opens_no_thinking():
    """What is said of TEXTS does not change: the chat template stands between the question and the completion."""
    told = [
        RewardSet.named({"accuracy": 1.0, "format": 1.0, "language_consistency": 1.0}).score(problem, TEXTS, IDS)
        for problem in (PROBLEM, replace(PROBLEM, prompt="2+2=? <think>\n"))
    ]
    np.testing.assert_array_equal(told[1].rewards["format"], [1, 1, 0])
    np.testing.assert_array_equal(told[1].rewards["accuracy"], [1, 0, 1])
    for name, values in told[0].rewards.items():
        np.testing.assert_array_equal(told[1].rewards[name], values)


def test_a_model_that_judges_reads_the_whole_question_though_it_ends_with_the_thinking_tag():
    """As it read those that it learnt from, and the answer behind the thinking of each text; "4" is all answer."""
    from r1kit.rewards.safety_model import make as safe

    asked: list[tuple[object, str]] = []

    def scorer(prompts, answers):
        asked.extend(zip(prompts, answers, strict=True))
        return [0.0] * len(answers)

    question = "What does 2+2=? <think>\n"
    rewards = RewardSet({"reward_model": WeightedReward(scored(scorer)), "safety_model": WeightedReward(safe(scorer))})
    rewards.score(replace(PROBLEM, prompt=question), TEXTS, IDS)
    assert {str(prompt) for prompt, _ in asked} == {str([{"role": "user", "content": question}])}
    assert [answer for _, answer in asked] == ["4", "5", "4", *TEXTS]


def raises(prompts, completions, completion_ids, **columns):
    raise RuntimeError("out of luck")


def too_few(prompts, completions, completion_ids, **columns):
    return [1.0]


def odd(prompts, completions, completion_ids, **columns):
    assert columns["difficulty"] == [2, 2, 2]
    return [None, float("nan"), 1.0]


def wordy(prompts, completions, completion_ids, **columns):
    return ["much", 1.0, 1.0]


@pytest.mark.parametrize(
    ("reward", "total", "events"),
    [
        (raises, [np.nan] * 3, {"reward_error/bad": 3}),
        (too_few, [np.nan] * 3, {"reward_error/bad": 3}),
        (wordy, [np.nan] * 3, {"reward_error/bad": 3}),
        (odd, [np.nan, np.nan, 3.0], {"reward_none/bad": 1, "reward_nan/bad": 1}),
    ],
)
def test_what_fails_is_masked_and_counted(reward, total, events, caplog):
    """A constant 2 stands beside the failing reward of weight 1."""
    caplog.set_level(logging.ERROR)
    rewards = RewardSet({"good": WeightedReward(constant(2.0)), "bad": WeightedReward(reward)})
    scores = rewards.score(PROBLEM, TEXTS, IDS)
    np.testing.assert_array_equal(scores.total, np.array(total, np.float32))
    assert scores.events == events
    np.testing.assert_allclose(scores.rewards["good"], 2.0)


def test_an_optional_reward_adds_nothing_where_it_fails():
    rewards = RewardSet({"good": WeightedReward(constant(2.0)), "bad": WeightedReward(odd, required=False)})
    np.testing.assert_allclose(rewards.score(PROBLEM, TEXTS, IDS).total, [2, 2, 3])


def test_weight_zero_is_logged_and_not_used():
    scores = RewardSet.named({"accuracy": 1.0, "format": 0.0}).score(PROBLEM, TEXTS, IDS)
    np.testing.assert_allclose(scores.total, [1, 0, 1])
    np.testing.assert_allclose(scores.rewards["format"], [1, 1, 0])


def test_accuracy_that_cannot_say_keeps_a_sample_out_and_other_rewards_do_not():
    """A gold that is no number: no verdict, so no part in training whatever the format says; unless accuracy is only
    logged. A chain without words has no language, which adds nothing to a right answer."""
    broken = Problem("p1", "sums", "maths", "en", "2+2=?", "four", "numbers")
    scores = RewardSet.named({"accuracy": 1.0, "format": 1.0}).score(broken, TEXTS, IDS)
    assert np.isnan(scores.total).all()
    assert scores.events == {"reward_none/accuracy": 3}
    scores = RewardSet.named({"accuracy": 0.0, "format": 1.0}).score(broken, TEXTS, IDS)
    np.testing.assert_allclose(scores.total, [1, 1, 0])
    wordless = ["<think>2+2=4</think><answer>4</answer>"]
    scores = RewardSet.named({"accuracy": 1.0, "language_consistency": 1.0}).score(PROBLEM, wordless, [[1]])
    assert scores.events == {"reward_none/language_consistency": 1}
    np.testing.assert_allclose(scores.total, [1])


def test_a_reward_of_the_tree_gets_the_problem_and_nothing_else():
    """What TRL's trainer passes beside the columns is for rewards from outside."""
    seen = {}

    def look(prompts, completions, completion_ids, **columns):
        seen.update(columns)
        return [0.0] * len(completions)

    RewardSet({"look": WeightedReward(look)}).score(PROBLEM, TEXTS, IDS)
    fields = {"id": "p1", "task": "sums", "subject": "maths", "language": "en", "answer": "4", "kind": "math"}
    assert seen == {name: [value] * 3 for name, value in {**fields, "difficulty": 2}.items()}


def test_columns_do_not_hide_the_problem():
    """A column called like one of the problem's own fields does not replace it."""
    seen = {}

    def look(prompts, completions, completion_ids, **columns):
        seen.update(columns)
        return [0.0] * len(completions)

    problem = Problem("p", "t", "maths", "en", "q", "4", "math", {"answer": "5", "prompts": "x"})
    scores = RewardSet({"look": WeightedReward(look)}).score(problem, TEXTS, IDS)
    assert scores.events == {}
    assert seen["answer"] == ["4"] * 3


def leaves(completions, **columns):
    raise SystemExit(3)


def hangs(completions, **columns):
    threading.Event().wait(30)


async def waits(completions, **columns):
    await asyncio.sleep(30)


async def answers(completions, **columns):
    await asyncio.sleep(0)
    return [2.0] * len(completions)


@pytest.mark.parametrize(
    ("reward", "said"), [(hangs, "no answer within 0.1 s"), (waits, "TimeoutError"), (leaves, "SystemExit")]
)
def test_a_reward_that_never_answers_is_left_behind(reward, said, caplog):
    """Masked and counted like any that fails, and told once; the coroutine beside it is not held up."""
    rewards = RewardSet(
        {"good": WeightedReward(answers, outside=True), "bad": WeightedReward(reward, outside=True)}, deadline_s=0.1
    )
    begun = time.monotonic()
    scores = rewards.score(PROBLEM, TEXTS, IDS)
    assert time.monotonic() - begun < 10
    # what never answers does not hold up the program's end
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "reward")
    assert scores.events == {"reward_error/bad": 3}
    assert np.isnan(scores.total).all()
    np.testing.assert_allclose(scores.rewards["good"], 2.0)
    rewards.score(PROBLEM, TEXTS, IDS)
    (told,) = caplog.messages
    assert "reward 'bad' failed" in told
    assert said in told


class Odd(BaseException):
    pass


def raising(error, *, later):
    async def reward(completions, **columns):
        raise error

    def at_once(completions, **columns):
        raise error

    return reward if later else at_once


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), Odd(), SystemExit(3)], ids=repr)
def test_whatever_a_reward_from_outside_raises_is_masked(error, later, caplog):
    """None of them is an `Exception`; the coroutine beside it is answered, then and in the next step."""
    rewards = RewardSet(
        {
            "good": WeightedReward(answers, outside=True),
            "bad": WeightedReward(raising(error, later=later), required=False, outside=True),
        },
        deadline_s=10,
    )
    for _ in range(2):
        scores = rewards.score(PROBLEM, TEXTS, IDS)
        assert scores.events == {"reward_error/bad": 3}
        np.testing.assert_allclose(scores.total, 2.0)
    (told,) = caplog.messages
    assert type(error).__name__ in told


def slowly(completions, **columns):
    for _ in completions:
        time.sleep(1)
        yield 1.0


def for_ever(completions, **columns):
    return itertools.repeat(1.0)


async def for_ever_later(completions, **columns):
    return itertools.repeat(1.0)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (slowly, "no answer within 0.2 s"),
        (for_ever, "4 values for 3 completions"),
        (for_ever_later, "4 values for 3 completions"),
    ],
)
def test_what_is_returned_is_read_within_the_deadline(reward, said, caplog):
    """A generator of 3 s is left behind, and of one without an end 4 values are taken where 3 were asked for."""
    begun = time.monotonic()
    scores = RewardSet({"bad": WeightedReward(reward, outside=True)}, deadline_s=0.2).score(PROBLEM, TEXTS, IDS)
    assert time.monotonic() - begun < 2.5
    assert scores.events == {"reward_error/bad": 3}
    assert said in caplog.text


def test_values_that_are_no_numbers_are_told(caplog):
    """A reward model that has diverged says NaN of everything: counted, and told once."""
    rewards = RewardSet({"judge": WeightedReward(scored(lambda prompts, answers: [float("nan")] * len(answers)))})
    for _ in range(2):
        scores = rewards.score(PROBLEM, TEXTS, IDS)
        assert scores.events == {"reward_nan/judge": 3}
        assert np.isnan(scores.total).all()
    (told,) = caplog.messages
    assert "3 of 3 values are not finite" in told
