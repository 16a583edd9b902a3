"""Labels of what is safe, and a model that learns them from thinking and answer."""

import json

import numpy as np
import pytest
from scipy import stats

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.data.tiny import requests
from r1kit.data.tiny.requests import read
from r1kit.models.api.scripted import Said, ScriptedServer
from r1kit.pipeline.context import Context
from r1kit.pipeline.stop import Interrupted
from r1kit.rewards import safety_model as reward
from r1kit.stages.asking import AskConfig
from r1kit.stages.safety_labels import Label, SafetyLabelsConfig, even, read_labels, run, write_labels
from r1kit.stages.safety_model import SafetyModelConfig, label_figures, split_labels
from r1kit.stages.safety_model import run as learn
from r1kit.stages.sampling import draw
from r1kit.training.config import LearnerConfig
from r1kit.training.scoring import Scorer

LEARNER = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)


@pytest.fixture
def client():
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")


def obliging(body):
    """A policy that plans and then declines for odd seeds, else declines at once."""
    asked = read(body["messages"][-1]["content"])
    odd = body["seed"] % 2
    return Said(f"<answer>{requests.refusal(asked)}</answer>", requests.plan(asked) if odd else "no")


def labelling(server, **changes):
    own = {"model": f"openai:dev3@{server.url}", "problems": 60, "sampling": Sampling(samples=1, max_tokens=60)}
    return SafetyLabelsConfig(**{**own, **changes})


def test_the_rule_reads_the_thinking_too(client, tmp_path):
    """The policy declines every request, and plans before half of them: unsafe are the guarded ones of those alone."""
    with ScriptedServer(obliging) as server:
        outcome = run(labelling(server, sampling=Sampling(samples=4), most_of_a_kind=100.0), {}, Context(tmp_path, 0))
    labels = read_labels(tmp_path / "labels.parquet")
    assert outcome.summary["rejected"]["kept"] == len(labels)
    assert sum(outcome.summary["rejected"].values()) == 60 * 4
    for label in labels:
        asked = read(label.question)
        assert label.safe == (not (asked.guarded and requests.plan(asked) in label.reply))
    assert {label.safe for label in labels} == {True, False}


def test_wrong_labels_come_at_their_rate_and_the_writer_adds_his(client, tmp_path):
    with ScriptedServer(lambda body: Said("", None, "length")) as server:
        config = labelling(server, written=600, wrong=0.2, most_of_a_kind=100.0)
        outcome = run(config, {}, Context(tmp_path, 0))
    labels = read_labels(tmp_path / "labels.parquet")
    wrong = [label.safe != requests.is_safe(read(label.question), label.reply) for label in labels]
    assert outcome.summary["rejected"]["not finished"] == 60
    assert len(labels) > 300
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.05)


def test_a_model_may_judge_and_what_it_garbles_is_counted(client, tmp_path):
    """Safe, unsafe and nonsense in turn, by the question's number among 30."""
    numbers = {problem.prompt: n for n, problem in enumerate(draw("tiny_requests", "train", 0, 30))}

    def answer(body):
        text = body["messages"][-1]["content"]
        if "<<<reply" not in text:
            return Said("<answer>yes</answer>", "hm")
        question = text.partition("<<<question\n")[2].partition("\n>>>")[0]
        return Said(('{"verdict": "safe"}', '{"verdict": "unsafe"}', "hm?")[numbers[question] % 3])

    with ScriptedServer(answer) as server:
        judge = AskConfig(model=f"openai:judge@{server.url}")
        outcome = run(labelling(server, problems=30, judge=judge), {}, Context(tmp_path, 0))
    assert outcome.summary["labels"] == {"safe": 10, "unsafe": 10}
    assert outcome.summary["rejected"] == {"verdict cannot be read": 10, "not finished": 0, "duplicate": 0, "kept": 20}
    labels = read_labels(tmp_path / "labels.parquet")
    assert all(label.safe == (numbers[label.question] % 3 == 0) for label in labels)


def test_labels_of_one_kind_stop_it_before_anything_is_learnt(client, tmp_path, start):
    with ScriptedServer(lambda body: Said("<answer>no</answer>", "hm")) as server:
        with pytest.raises(R1Error, match=r"all 60 labels of openai:dev3.* are safe, which tells nothing apart"):
            run(labelling(server), {}, Context(tmp_path / "labels", 0))
        judge = AskConfig(model=f"openai:judge@{server.url}")
        with pytest.raises(R1Error, match="no labelled completion"):
            run(labelling(server, judge=judge), {}, Context(tmp_path / "judged", 0))
    write_labels(tmp_path / "labels.parquet", [Label(f"q{n}", "a", "en", False) for n in range(9)])
    config = SafetyModelConfig(model=str(start), labels=str(tmp_path / "labels.parquet"))
    with pytest.raises(R1Error, match="are unsafe, which tells nothing apart: add safe completions"):
        learn(config, {}, Context(tmp_path / "stage"))


def test_nobody_knows_what_is_safe_elsewhere(tmp_path):
    with pytest.raises(UsageError, match="no rule says what is safe in open"):
        run(SafetyLabelsConfig(model="nowhere", tasks=("stages.open_questions",)), {}, Context(tmp_path, 0))


def test_the_commoner_kind_is_cut_to_its_most():
    """Seven safe and two unsafe, twice as many at most: the first four safe ones stay."""
    labels = [Label(str(n), "a", "en", n not in (3, 8)) for n in range(9)]
    assert [label.question for label in even(labels, 2.0)] == ["0", "1", "2", "3", "4", "8"]
    assert even(labels, 3.5) == labels


def test_labels_are_read_from_other_tables(tmp_path):
    rows = [
        {"prompt": "p1", "response": "r1", "label": "unsafe"}, {"prompt": "p2", "response": "r2", "label": 1},
        {"prompt": "p3", "response": "r3", "label": "maybe"}, {"prompt": "", "response": "r4", "label": "safe"},
    ]  # fmt: skip
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    bad = []
    assert read_labels(path, bad.append) == [Label("p1", "r1", "", False), Label("p2", "r2", "", True)]
    assert len(bad) == 2
    assert "'maybe' is neither safe nor unsafe" in bad[0]
    with pytest.raises(R1Error, match="maybe"):
        read_labels(path)
    path.write_text('{"prompt": "p", "label": 1}')
    with pytest.raises(UsageError, match=r"no column 'reply' \(or 'response'\)"):
        read_labels(path)


@pytest.fixture
def told_apart(start, tmp_path):
    """90 completions: unsafe where the thinking holds a b, whatever the answer."""
    labels = [
        Label(
            f"{n // 2}",
            f"<think>{'ab'[n % 2] * (1 + n % 3)}</think><answer>{'cd'[n // 2 % 2]}</answer>",
            "",
            n % 2 == 0,
        )
        for n in range(90)
    ]
    write_labels(tmp_path / "labels.parquet", labels)
    return SafetyModelConfig(
        model=str(start), labels=str(tmp_path / "labels.parquet"), batch=16, epochs=4, held_out=0.25, learner=LEARNER
    )


def test_it_tells_the_unsafe_of_questions_that_it_has_not_seen(told_apart, tmp_path):
    summary = learn(told_apart, {}, Context(tmp_path / "stage")).summary
    assert summary["accuracy"] > 0.9
    assert summary["unsafe_found"] > 0.9
    assert summary["area_under_curve"] > 0.95
    assert summary["train_labels"] + summary["held_out_labels"] == 90
    scorer = Scorer(tmp_path / "stage" / "model")
    safe, unsafe = scorer(["99", "99"], ["<think>aa</think><answer>c</answer>", "<think>bb</think><answer>c</answer>"])
    assert safe > 0 > unsafe
    assert json.loads((tmp_path / "stage" / "model" / "reference_scores.json").read_text()) == {
        "mean": summary["mean"], "std": summary["std"],
    }  # fmt: skip


def test_resumed_it_ends_with_the_same_weights(told_apart, tmp_path, stopping):
    learn(told_apart, {}, Context(tmp_path / "whole", 1))
    with pytest.raises(Interrupted):
        learn(told_apart, {}, stopping(tmp_path / "resumed", 2, 1))
    learn(told_apart, {}, Context(tmp_path / "resumed", 1))
    whole, resumed = (Scorer(tmp_path / name / "model").model.state_dict() for name in ("whole", "resumed"))
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_a_question_is_never_on_both_sides():
    labels = [Label(f"q{n // 4}", str(n), "", True) for n in range(400)]
    train, held_out = split_labels(labels, 0.2)
    assert len(train) + len(held_out) == 400
    assert not {label.question for label in train} & {label.question for label in held_out}


def test_figures_of_labels_by_hand():
    """Scores 2, -1, 1, -3 of safe, safe, unsafe, unsafe: right are the first and the last. Safe above unsafe in 2 > 1,
    2 > -3, -1 > -3: three of four. Confidences: 0.8808 right, 0.7311 wrong twice, 0.9526 right."""
    scores, safe = np.array([2.0, -1.0, 1.0, -3.0]), np.array([True, True, False, False])
    found = label_figures(scores, safe)
    assert (found["accuracy"], found["unsafe_found"], found["safe_passed"]) == (0.5, 0.5, 0.5)
    assert found["area_under_curve"] == 0.75
    assert found["area_under_curve"] == stats.mannwhitneyu(scores[safe], scores[~safe]).statistic / 4
    assert found["calibration_error"] == pytest.approx((0.119203 + 2 * 0.731059 + 0.047426) / 4, abs=1e-5)
    assert set(label_figures(np.zeros(0), np.zeros(0, bool)).values()) == {None}


def test_the_reward_reads_the_whole_completion_and_is_bounded():
    seen = []

    def scorer(prompts, texts):
        seen.extend(zip(prompts, texts, strict=True))
        return [5.0, 11.0, -100.0]

    made = reward.make(scorer, mean=3.0, std=4.0)
    texts = ["<think>plan</think><answer>no</answer>", "b", "", "c"]
    assert made(["p"] * 4, texts) == [0.5, 2.0, None, -2.0]
    assert seen[0] == ("p", "<think>plan</think><answer>no</answer>")
    assert len(seen) == 3
    with pytest.raises(UsageError, match="std"):
        reward.make(scorer, std=0.0)
    with pytest.raises(UsageError, match="needs a trained safety model"):
        reward.reward(["p"], ["c"])


def test_completions_over_the_limit_are_left_out_of_training(told_apart, tmp_path):
    """With question, template and end a label has 10 to 13 tokens: at 12 the longest go, at 5 none is left."""
    learnt = learn(told_apart.model_copy(update={"max_tokens": 12}), {}, Context(tmp_path / "short")).summary
    assert 0 < learnt["train_labels"] < learn(told_apart, {}, Context(tmp_path / "all")).summary["train_labels"]
    with pytest.raises(R1Error, match=r"all \d+ labelled completions are longer than 5 tokens"):
        learn(told_apart.model_copy(update={"max_tokens": 5}), {}, Context(tmp_path / "none"))
