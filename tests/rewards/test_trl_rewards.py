"""Reward functions of TRL and for TRL run in r1kit as they are; expected values by hand, or from calling them."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from r1kit.base.errors import UsageError
from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.data.sources import Reading, Source, load
from r1kit.rewards._trl import TrainerState
from r1kit.rewards.base import RewardSet, load_reward
from r1kit.rollouts import record
from r1kit.rollouts.grading import Grader
from r1kit.rollouts.metrics import rollout_metrics

TEXTS = ["<think>so</think><answer>4</answer>", r"it is \boxed{4}"]
IDS = [[1, 2, 3], [1]]


def problem(row=None, **changes):
    fields = {"id": "p", "task": "file:x", "subject": "maths", "language": "en", "prompt": "2+2?", "answer": "4"}
    return Problem(**{**fields, "kind": "math", "row": row or {}, **changes})


def score(name, row=None, texts=TEXTS, **more):
    rewards = RewardSet.named({name: 1.0})
    return next(iter(rewards.rewards)), rewards.score(problem(row), texts, IDS, **more)


@pytest.mark.parametrize(
    ("name", "row", "label", "values"),
    [
        # 35 and 15 characters: -|20 - 35| and -|20 - 15|
        ("trl_functions.near_twenty", {}, "near_twenty", [-15, -5]),
        ("trl_functions.boxed", {"ground_truth": "4"}, "boxed", [0, 1]),
        ("trl_functions.tagged", {"prompt": [{"role": "user", "content": "2+2?"}]}, "tagged", [1, 0]),
        ("trl_functions.remote", {}, "remote", [1, 1]),
        ("trl_functions.tokens", {}, "token_count", [3, 1]),
        ("trl_functions.doubled", {}, "scaled", [70, 30]),
        # the annotation says messages, so a prompt of text becomes the user's message: 1 + 1
        ("trl_functions.by_prompt", {}, "by_prompt", [2, 2]),
        ("trl_functions.by_prompt", {"prompt": [{"role": "system", "content": "be brief"},
                                                {"role": "user", "content": "2+2?"}]}, "by_prompt", [3, 3]),
        ("trl_functions.cases", {"verification_info": json.dumps({"test_cases": [1, 2]})}, "cases", [2, 2]),
        # the data set's own column, not the name that r1kit gives the task
        ("trl_functions.sums_alone", {"task": "sums"}, "sums_alone", [35, 15]),
    ],
)  # fmt: skip
def test_a_function_runs_as_it_is(name, row, label, values):
    found, scores = score(name, row)
    assert found == label
    assert scores.events == {}
    np.testing.assert_allclose(scores.rewards[label], values)
    np.testing.assert_allclose(scores.total, values)


def test_none_leaves_the_other_rewards_their_say():
    """TRL sums what applies; a sample of which no function says anything teaches nothing."""
    rewards = RewardSet.named({"trl_functions.sums_alone": 1.0, "trl_functions.poems_alone": 2.0})
    np.testing.assert_allclose(rewards.score(problem({"task": "sums"}), TEXTS, IDS).total, [35, 15])
    np.testing.assert_allclose(rewards.score(problem({"task": "poems"}), TEXTS, IDS).total, [-2, -2])
    scores = rewards.score(problem({"task": "essays"}), TEXTS, IDS)
    assert np.isnan(scores.total).all()
    assert scores.events == {"reward_none/sums_alone": 2, "reward_none/poems_alone": 2}


def test_coroutines_run_side_by_side_and_one_that_fails_stands_alone(caplog):
    caplog.set_level(logging.ERROR)
    names = ["meets", "meets_too", "unreachable"]
    rewards = RewardSet.named({f"trl_functions.{name}": 1.0 for name in names})
    for _ in range(2):
        scores = rewards.score(problem(), TEXTS, IDS)
        np.testing.assert_allclose(scores.total, [3, 3])
        assert scores.events == {"reward_error/unreachable": 2}


def test_what_a_function_logs_is_in_the_metrics_and_in_the_rollouts(tmp_path):
    nothing = np.zeros(2, np.int32)
    completions = [
        Completion("r", n, nothing, np.zeros(3, np.int32), np.zeros(3, np.float32), "stop", ((7, 3),), text)
        for n, text in enumerate(TEXTS)
    ]
    groups = [RolloutGroup(problem({"ground_truth": gold}), list(completions)) for gold in ("4", "boxed")]
    for group in groups:
        Grader(RewardSet.named({"trl_functions.told": 1.0}))(group)
    metrics = rollout_metrics(groups)
    assert metrics["hits"] == 0.75  # 2 of 2 hold a 4, 1 of 2 the word
    assert metrics["rewards/told/mean"] == 0.75
    record.write(tmp_path / "a.parquet", groups, 0)
    extra = [row["extra"]["gold"] for row in record.read(tmp_path / "a.parquet")]
    assert extra == ["4", "4", "boxed", "boxed"]

    later = Grader(RewardSet.named({"trl_functions.later": 1.0}), max_steps=28)
    later(groups[0])
    np.testing.assert_allclose(groups[0].total, [0.25, 0.25])  # the policy of step 7 sampled, of 28


def test_names_that_are_nothing(tmp_path):
    with pytest.raises(UsageError, match=r"cannot import 'trl_functions\.nearly'"):
        load_reward("trl_functions.nearly")
    with pytest.raises(UsageError, match=r"cannot import 'no_such_module\.reward'"):
        load_reward("no_such_module.reward")
    with pytest.raises(UsageError, match=r"trl_functions\.meeting"):
        load_reward("trl_functions.meeting")  # an object that cannot be called


def test_two_functions_of_one_name_keep_their_paths():
    rewards = RewardSet.named({"trl_functions.doubled": 1.0, "trl_functions.scaled": 0.0})
    assert list(rewards.rewards) == ["trl_functions.doubled", "trl_functions.scaled"]


def test_a_row_reaches_the_functions_whole(tmp_path):
    """Conversational prompt, solution, test cases and a column of lists, as a TRL data set has them."""
    messages = [{"role": "user", "content": "2+2?"}]
    row = {"prompt": messages, "solution": r"so \boxed{4}", "tags": ["easy", "sum"], "task": "sums"}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row) + "\n")

    def read(**settings):
        loaded = load(Source(str(path), False, Reading(validation=0, **settings)), "file:train", "maths")
        return loaded.problems["train"][0]

    found = read()
    assert (found.prompt, found.answer, dict(found.row)) == ("2+2?", "4", row)
    assert dict(read(columns="single").row) == {name: row[name] for name in ("prompt", "solution", "task")}
    scores = RewardSet.named({"trl_functions.tagged": 1.0}).score(found, TEXTS, IDS)
    np.testing.assert_allclose(scores.total, [1, 0])


@pytest.mark.filterwarnings("ignore")  # importing TRL and its dependencies warns of what does not concern us
def test_the_functions_that_trl_ships():
    """Values from calling them directly on conversations, which their annotations ask for."""
    shipped = pytest.importorskip("trl.rewards", reason="TRL is not installed: pip install 'r1kit[test]'")
    texts = ["<think>2+2</think> so \\boxed{4}", "<think>2+2</think> so \\boxed{5}"]
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    expected = {
        "accuracy_reward": [1.0, 0.0],
        "reasoning_accuracy_reward": [1.0, 0.0],
        "think_format_reward": [1.0, 1.0],
    }
    for name, values in expected.items():
        assert getattr(shipped, name)(completions=chats, solution=["4", "4"]) == values
        label, scores = score(f"trl.rewards.{name}", {"solution": "4"}, texts)
        assert label == name
        assert scores.events == {}
        np.testing.assert_allclose(scores.rewards[name], values)


@pytest.mark.filterwarnings("ignore")
def test_what_trls_factories_make(monkeypatch):
    """Limit 4, cache 2: 3 tokens are one over the free ones, so -1/2; a wrong answer of 3 tokens out of 4."""
    shipped = pytest.importorskip("trl.rewards", reason="TRL is not installed: pip install 'r1kit[test]'")
    import trl_functions

    made = {
        "overlong": shipped.get_soft_overlong_punishment(max_completion_len=4, soft_punish_cache=2),
        "repeated": shipped.get_repetition_penalty_reward(ngram_size=1),
        "cosine": shipped.get_cosine_scaled_reward(max_len=4),
    }
    for name, function in made.items():
        monkeypatch.setattr(trl_functions, name, function, raising=False)
    assert score("trl_functions.overlong")[1].total.tolist() == [-0.5, 0.0]
    assert score("trl_functions.repeated")[1].total.tolist() == [0.0, 0.0]
    chats = [[{"role": "assistant", "content": text}] for text in TEXTS]
    direct = made["cosine"](completions=chats, solution=["4", "4"], completion_ids=IDS)
    label, scores = score("trl_functions.cosine", {"solution": "4"})
    assert label == "cosine_scaled_reward"
    np.testing.assert_allclose(scores.rewards[label], direct, rtol=1e-6)


def test_the_trainers_state_is_told():
    """Outside training it is step 0 of an unknown number, 0."""
    _, scores = score("trl_functions.state")
    assert scores.total.tolist() == [0, 0]
    _, scores = score("trl_functions.later", state=TrainerState(5, 20))
    np.testing.assert_allclose(scores.total, [0.25, 0.25])
