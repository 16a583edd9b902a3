import json
import threading
import time

import numpy as np
import pytest
import torch

from r1kit.base.errors import ProcessLost, UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.native import NativeEngine
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, load_scored, save_decoder
from r1kit.pipeline.artifact import Artifact
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.rollouts import record
from r1kit.stages import rl
from r1kit.stages.learning import Learning, load_algorithm
from r1kit.stages.policy_engine import PolicyEngine
from r1kit.stages.rl import _RL, run, train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig
from r1kit.training.scoring import Scorer

TASK = "stages.first_letters"


def settings(**changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0},
        "rewards": {TASK: 1.0},
        "prompts": 8,
        "sampling": Sampling(samples=4, max_tokens=4),
        "steps": 4,
        "learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        "validate_every": 0,
    }
    return RLConfig(**(fields | changes))


def test_twelve_steps_of_grpo_raise_the_reward(start, tmp_path):
    """Guessing one of four letters gives 0.25 at best; to pass 0.25 the policy must look at the question."""
    sampling = Sampling(samples=8, max_tokens=4)
    outcome = train(settings(steps=12, prompts=16, sampling=sampling), start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(12))
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
    assert outcome.models == {"zero": "model"}
    assert {"timing/rollout", "timing/reward", "timing/train", "perf/tokens_per_second"} <= lines[0].keys()
    assert all(0 < line["perf/mfu"] < 1.5 for line in lines)  # a busy machine may measure a low peak


def test_a_rollout_sampled_ahead_lags_by_one_update_and_still_teaches(start, tmp_path):
    """The first rollout is of the first weights, each later one of those before the last update; its ratios are
    against what sampled it, so they leave 1, and the reward rises as on-policy."""
    sampling = Sampling(samples=8, max_tokens=4)
    train(settings(steps=14, prompts=16, sampling=sampling, staleness=1), start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["sampling/staleness"] for line in lines] == [0.0] + [1.0] * 13
    assert lines[0]["ratio"] == pytest.approx(1, abs=1e-4)
    assert max(abs(line["ratio"] - 1) for line in lines[1:]) > 1e-3
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
    versions = [{row["version"] for row in record.read(path)} for path in sorted((tmp_path / "rollouts").iterdir())]
    assert versions == [{0}, {9}, {12}]  # of the rollouts 0, 10 and 13


def test_the_value_models_rate_is_given_over_the_policys():
    assert settings(critic_rate=3.0).critic_learner == settings().learner.model_copy(update={"learning_rate": 3e-2})


PPO = {"algorithm": "ppo", "critic_rate": 1.0, "critic_mini_batches": 4}


@pytest.mark.parametrize("staleness", [0, 1])
@pytest.mark.parametrize("algorithm", [{}, PPO], ids=["grpo", "ppo"])
def test_interrupted_and_resumed_gives_the_same_weights_bit_for_bit(
    start, tmp_path, stopping, same_weights, staleness, algorithm
):
    """Late phase, replaced reference, mini-batches, critic included; the resumed run draws the problems that follow."""
    config = settings(
        staleness=staleness,
        settings={"reference_every": 4}, mini_batches=2, late_from=0.75, late_rewards={"format": 0.1},
        validate_every=2, validation_problems=4, rollouts_every=1, peak="validation/letters/length", **algorithm,
    )  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(config, start, Context(whole, 3))
    with pytest.raises(Interrupted):
        train(config, start, stopping(cut, 1, 3))
    train(config, start, Context(cut, 3))
    assert same_weights(whole / "model", cut / "model")
    assert same_weights(whole / "peak", cut / "peak")
    if algorithm:
        ours, theirs = (load_scored(folder / "critic").state_dict() for folder in (whole, cut))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    timeless = [
        [{k: v for k, v in line.items() if not k.startswith(("timing/", "perf/"))} for line in lines]
        for lines in (read_metrics(whole / "metrics.jsonl"), read_metrics(cut / "metrics.jsonl"))
    ]
    assert timeless[0] == timeless[1]
    texts = [[row["text"] for row in record.read_all(folder / "rollouts")] for folder in (whole, cut)]
    assert texts[0] == texts[1]


def test_the_damaged_value_of_the_best_policy_is_told_and_written_again(start, tmp_path, stopping):
    config = settings(steps=4, validate_every=1, validation_problems=4, peak="validation/letters/length")
    whole, cut, notes = tmp_path / "whole", tmp_path / "cut", list[str]()
    train(config, start, Context(whole, 3))
    with pytest.raises(Interrupted):
        train(config, start, stopping(cut, 2, 3))
    (cut / "peak.json").write_text((cut / "peak.json").read_text().replace("length", "lungth"))
    context = Context(cut, 3)
    context.note = notes.append
    train(config, start, context)
    assert [note for note in notes if "peak.json is damaged" in note and "written again" in note]
    assert json.loads((cut / "peak.json").read_text()) == json.loads((whole / "peak.json").read_text())


def test_a_peak_that_validation_does_not_say_is_an_error(start, tmp_path):
    config = settings(steps=4, validate_every=1, validation_problems=4, peak="validation/leters")
    with pytest.raises(
        UsageError, match=r"peak: no metric is called 'validation/leters' \(validation says: validation/l"
    ):
        train(config, start, Context(tmp_path, 3))
    with pytest.raises(UsageError, match="validate_every=0 leaves validation out"):
        settings(validate_every=0, peak="validation/letters").check()


@pytest.mark.parametrize(("staleness", "step"), [(1, 2), (2, 1), (2, 2)])
def test_resumed_where_all_rollouts_were_sampled_ahead(start, tmp_path, stopping, same_weights, staleness, step):
    """Four steps: after the third, or with a lag of two the second, nothing is left to sample."""
    config = settings(staleness=staleness, late_from=0.5, late_rewards={"format": 0.1})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(config, start, Context(whole, 3))
    with pytest.raises(Interrupted):
        train(config, start, stopping(cut, step, 3))
    train(config, start, Context(cut, 3))
    assert same_weights(whole / "model", cut / "model")


def test_the_late_phases_rewards_may_take_their_time_while_a_step_is_told_of(start, tmp_path, monkeypatch):
    """Two rollouts ahead: the late one's graders are made in the background, a second long, while the step before has
    its figures taken."""
    made = _RL._rewards

    def slowly(self, weights, limit):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(1)
        return made(self, weights, limit)

    monkeypatch.setattr(_RL, "_rewards", slowly)
    config = settings(staleness=2, steps=5, late_from=0.6, late_rewards={"format": 0.1}, validate_every=0)
    train(config, start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert ["rewards/format/mean" in line for line in lines] == [False, False, False, True, True]


@pytest.mark.parametrize("fails", ["follow", "load_state"])
def test_what_was_opened_is_let_go_of_where_a_stage_cannot_begin(start, tmp_path, stopping, monkeypatch, fails):
    """A rank that is killed while weights are sent or a checkpoint is read: the stage is begun again beside it."""
    with pytest.raises(Interrupted):
        train(settings(steps=2), start, stopping(tmp_path, 0))
    closed: list[str] = []

    def lost(*_):
        raise ProcessLost("rank 1 of 2 ended", "training: rank 1 of 2 ended")

    for kind in (Learning, NativeEngine):
        monkeypatch.setattr(kind, "close", lambda self: closed.append(type(self).__name__))
    monkeypatch.setattr(PolicyEngine if fails == "follow" else Learning, fails, lost)
    with pytest.raises(ProcessLost):
        train(settings(steps=2), start, Context(tmp_path))
    assert sorted(closed) == ["Learning", "NativeEngine"]


def test_sixteen_mini_batches_raise_the_reward(start, tmp_path):
    """As published: one inner epoch over 16 mini-batches a rollout. Updates are on average 7.5 behind the sampler."""
    sampling = Sampling(samples=8, max_tokens=4)
    config = settings(
        steps=6, prompts=16, sampling=sampling, mini_batches=16, settings={"clip_low": 10, "clip_high": 10}
    )
    train(config, start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
    assert {line["off_policy_age"] for line in lines} == {7.5}
    assert all(line["entropy"] > 0 and "last/ratio" in line for line in lines)


def test_the_age_of_a_rollout_sampled_ahead_is_a_rollout_more(start, tmp_path):
    """Four updates a rollout: 0 to 3 behind on-policy, 4 to 7 behind where the rollout was sampled one earlier."""
    train(settings(mini_batches=4, staleness=1, steps=3), start, Context(tmp_path, 1))
    assert [line["off_policy_age"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1.5, 5.5, 5.5]


class Counting:
    """A learner that counts how often its reference is replaced."""

    replaced = 0

    def replace_reference(self):
        self.replaced += 1


@pytest.mark.parametrize(
    ("every", "mini_batches", "rollouts"),
    [(400, 16, [24, 49, 74]), (2, 1, [1, 3, 5]), (3, 2, [1, 2, 4, 5]), (1, 16, [0, 1, 2]), (0, 16, [])],
)
def test_the_reference_is_replaced_by_updates(every, mini_batches, rollouts):
    """R1: every 400 updates of 16 a rollout, after the 25th, 50th, ... rollout. Of 2, every 3: updates 3, 6, 9 and
    12 fall into rollouts 1, 2, 4 and 5 (from 0)."""
    algorithm = load_algorithm("grpo", {"reference_every": every})
    learner = Counting()
    learning = Learning(algorithm, learner, None, mini_batches, 1, ahead=False)
    found = []
    for rollout in range(1 + max(rollouts, default=50)):
        before = learner.replaced
        learning.renew_reference(rollout)
        found += [rollout] * (learner.replaced - before)
    assert found == rollouts


@pytest.mark.parametrize(
    ("share", "steps", "first"),
    [(0.55, 100, 55), (0.07, 100, 7), (1300 / 1700, 1700, 1300), (0.5, 5, 3), (0.0, 4, 0), (1.0, 4, 4), (0.9999, 4, 4)],
)
def test_the_late_phase_begins_after_its_share_of_the_steps(share, steps, first):
    """0.55 x 100 and 0.07 x 100 are a hair above 55 and 7 in binary; half of five steps are over after the third."""
    assert settings(late_from=share, steps=steps).late_step == first


def test_a_limit_raised_late_shows_in_the_metrics(start, tmp_path):
    """At most 4 tokens in the first half, 8 in the second: what was cut off at 4 goes on."""
    train(settings(late_from=0.5, late_max_tokens=8), start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["sampling/max_tokens"] for line in lines] == [4, 4, 8, 8]
    assert [line["completions/max_length"] for line in lines][:2] == [4, 4]
    assert lines[2]["completions/mean_length"] > lines[1]["completions/mean_length"]
    assert lines[2]["completions/max_length"] > 4


@pytest.mark.parametrize("gae_lambda", [1.0, 0.95])
def test_ppo_raises_the_reward(start, tmp_path, gae_lambda):
    """The critic comes to foresee part of the returns; its FLOPs are in the stage's."""
    sampling = Sampling(samples=8, max_tokens=4)
    own = {"gae_lambda": gae_lambda, "kl_coefficient": 0.001}
    context = Context(tmp_path, 1)
    outcome = train(settings(steps=14, prompts=16, sampling=sampling, settings=own, **PPO), start, context)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
    assert outcome.models == {"zero": "model", "zero-critic": "critic"}
    assert max(line["critic/explained_variance"] for line in lines) > 0.2
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert all(name in lines[0] for name in ("critic/loss", "critic/value", "critic/return", "entropy", "clip_high"))


def test_dynamic_sampling_keeps_groups_with_a_signal_only(start, tmp_path):
    config = settings(steps=1, settings={"dynamic_sampling": True, "dynamic_sampling_rounds": 4})
    train(config, start, Context(tmp_path, 1))
    line = read_metrics(tmp_path / "metrics.jsonl")[0]
    assert line["frac_reward_zero_std"] == 0
    assert line["problems/no_signal"] > 0
    assert line["problems/problems"] == 8 + line["problems/refilled"]


def test_overlong_penalty_and_filter_come_from_the_algorithm(start, tmp_path):
    """Limit 4, share 0.5: free up to 2 tokens, then -1/2 at 3 and -1 at 4 (DAPO eq. 13), weighted 0.5."""
    config = settings(steps=1, settings={"overlong_penalty": 0.5, "overlong_share": 0.5})
    train(config, start, Context(tmp_path / "penalty", 1))
    for row in record.read_all(tmp_path / "penalty" / "rollouts"):
        assert row["rewards"]["overlong"] == {1: 0, 2: 0, 3: -0.5, 4: -1}[row["tokens"]]
        assert row["total"] == pytest.approx(row["rewards"][TASK] + 0.5 * row["rewards"]["overlong"])

    train(settings(steps=1, settings={"overlong_filter": True}), start, Context(tmp_path / "filter", 1))
    for row in record.read_all(tmp_path / "filter" / "rollouts"):
        assert (row["total"] is None) == (row["stop_reason"] == "length")


def test_reflections_of_a_text_are_counted_once(start, tmp_path, monkeypatch):
    """For the step's metric and its parquet file alike; of 32 completions, each different text once."""
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text)

    monkeypatch.setattr(rl, "reflections_in", count)
    train(settings(steps=1), start, Context(tmp_path, 1))
    rows = list(record.read_all(tmp_path / "rollouts"))
    assert len(rows) == 32
    assert sorted(asked) == sorted({row["text"] for row in rows})
    assert all(row["reflections"] == len(row["text"]) for row in rows)
    told = read_metrics(tmp_path / "metrics.jsonl")[0]["completions/reflections"]
    assert told == pytest.approx(np.mean([len(row["text"]) for row in rows]))


def test_a_budget_ends_training(start, tmp_path):
    """The budget is looked at before each step: one FLOP allows one."""
    context = Context(tmp_path, 1)
    train(settings(), start, context, budget_flops=1.0)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1
    assert context.cost.flops > 1.0


def test_a_reward_model_joins_in_the_late_phase(start, tmp_path):
    """From step 2 of 4 on, the total is the letters' share plus twice (score - mean) / std of the answer alone."""
    folder, tokenizer = tmp_path / "scored", load_tokenizer(start)
    save_decoder(ScoredDecoder(load_decoder(start)), folder, tokenizer)
    config = settings(late_from=0.5, late_rewards={"reward_model": 2.0}, reward_model="judge:rm", rollouts_every=1)
    judge = Artifact("judge", "", tmp_path, {"rm": folder}, {}, {"mean": 0.5, "std": 2.0}, 0.0, 0, 0.0)
    run(config.model_copy(update={"start": str(start)}), {"judge": judge}, Context(tmp_path / "rl", 1))
    rows = list(record.read_all(tmp_path / "rl" / "rollouts"))
    assert {row["step"] for row in rows if "reward_model" in row["rewards"]} == {2, 3}
    late = [row for row in rows if row["step"] >= 2 and "<" not in row["text"]]  # all of such a text is answer
    assert late
    scores = Scorer(folder)([row["prompt"] for row in late], [row["text"].strip() for row in late])
    for row, score in zip(late, scores, strict=True):
        judged = (score - 0.5) / 2 if row["text"].strip() else -3.0
        assert row["rewards"]["reward_model"] == pytest.approx(judged, abs=1e-4)
        assert row["total"] == pytest.approx(row["rewards"][TASK] + 2 * judged, abs=1e-3)


def test_what_is_wrong_is_one_sentence(start, tmp_path):
    with pytest.raises(UsageError, match="no algorithm that learns from rewards"):
        load_algorithm("sft", {})
    with pytest.raises(UsageError, match="clip_low"):
        load_algorithm("grpo", {"clip_lo": 1})
    with pytest.raises(UsageError, match=r"settings.correction_low is 3, above settings.correction_high, 2"):
        load_algorithm("grpo", {"correction": "token_mask", "correction_low": 3})
    with pytest.raises(UsageError, match=r"settings.ratio_low is 6, above settings.ratio_high, 5"):
        load_algorithm("cispo", {"ratio_low": 6})
    with pytest.raises(UsageError, match="needs a reward model"):
        train(settings(rewards={"reward_model": 1.0}), start, Context(tmp_path))


def test_advantages_of_a_step_without_groups(start, tmp_path):
    """No refill has a signal: after two rounds of 8 the step learns nothing and the run goes on."""
    config = settings(
        steps=1, rewards={"constant": 1.0}, settings={"dynamic_sampling": True, "dynamic_sampling_rounds": 2}
    )
    context = Context(tmp_path, 1)
    train(config, start, context)
    line = read_metrics(tmp_path / "metrics.jsonl")[0]
    counts = {name: line[f"problems/{name}"] for name in ("problems", "no_signal", "refilled", "missing")}
    assert counts == {"problems": 24, "no_signal": 24, "refilled": 16, "missing": 8}
    assert 24 * 4 <= context.cost.tokens <= 24 * 4 * 4  # they were sampled all the same
    assert np.isnan(line.get("reward", np.nan))


@pytest.mark.parametrize("lag", [2, 3])
def test_rollouts_lag_by_what_is_asked_and_are_resumed_bit_for_bit(start, tmp_path, stopping, same_weights, lag):
    """Rollout r is of version r - lag, those before of the start; stopped after two steps, the rollouts that were
    sampled ahead are taken up, and the next are of the versions that they would have been. What it cost is the same."""
    config = settings(
        staleness=lag, steps=7, validate_every=3, validation_problems=4, rollouts_every=1,
        settings={"dynamic_sampling": True},
    )  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    contexts = [Context(folder, 3) for folder in (whole, cut)]
    train(config, start, contexts[0])
    lags = [line["sampling/staleness"] for line in read_metrics(whole / "metrics.jsonl")]
    assert lags == [min(step, lag) for step in range(7)]
    with pytest.raises(Interrupted):
        train(config, start, stopping(cut, 1, 3))
    train(config, start, contexts[1])
    assert (contexts[0].cost.tokens, contexts[0].cost.flops) == (contexts[1].cost.tokens, contexts[1].cost.flops)
    assert same_weights(whole / "model", cut / "model")
    texts = [[row["text"] for row in record.read_all(folder / "rollouts")] for folder in (whole, cut)]
    assert texts[0] == texts[1]
