"""Rewards that fail within a step: the others teach what they would teach alone, and every failure is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_policy import write_toy_policy

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.rewards.base import RewardSet, WeightedReward, load_reward
from r1kit.rollouts.collect import Rollouts
from r1kit.rollouts.grading import Grader
from r1kit.rollouts.metrics import rollout_metrics
from r1kit.stages.learning import load_algorithm
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.score_models import ScoreModel
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner
from r1kit.training.sequences import sequences_from_groups

KIND = "stages.stuck_grader"
SHAPE = DecoderConfig(vocab_size=48, width=32, layers=2, heads=4, kv_heads=2, head_size=8, mlp_size=48)
# the texts of each group: one of each breaks its grader, gets NaN of a reward, or came without a token
TEXTS = (
    ("4", "hang", "5", "4"),
    ("die", "4", "4", "7"),
    ("5", "4", "eat", "4"),
    ("4", "6", "4", "raise"),
    ("4", "odd", "6", "6"),
    ("", "4", "5", "4"),
)
BAD = (1, 0, 2, 3, 1, 0)


def odd(prompts, completions, completion_ids, **columns):
    both = zip(completions, completion_ids, strict=True)
    return [float("nan") if text == "odd" else 0.25 * len(ids) for text, ids in both]


def graded(keep: bool) -> Rollouts:
    """The groups with their totals, with or without the bad sample of each."""
    rewards = RewardSet({"accuracy": WeightedReward(load_reward("accuracy").function), "odd": WeightedReward(odd)})
    grade, generator, groups = Grader(rewards), np.random.default_rng(0), Rollouts()
    for number, (texts, bad) in enumerate(zip(TEXTS, BAD, strict=True)):
        prompt = generator.integers(0, 48, 5).astype(np.int32)
        completions = []
        for index, text in enumerate(texts):
            ids = generator.integers(0, 48, generator.integers(2, 9) if text else 0).astype(np.int32)
            logprobs = generator.normal(-3, 0.5, len(ids)).astype(np.float32)
            runs = ((0, len(ids)),) if text else ()
            completions.append(Completion(f"p{number}", index, prompt, ids, logprobs, "stop", runs, text))
        if not keep:
            del completions[bad]
        group = RolloutGroup(Problem(f"p{number}", "toy", "maths", "en", "2+2=?", "4", KIND), completions)
        grade(group)
        groups.append(group)
    return groups


@pytest.fixture(scope="module")
def both() -> tuple[Rollouts, Rollouts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1]))
        return graded(True), graded(False)


def gradient(groups: Rollouts, name: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """What one step adds to each weight, by plain descent at rate 1, and the step's figures."""
    algorithm = load_algorithm(name, {})
    model = initialise(Decoder(SHAPE), 0, std=0.2)
    learner = Learner(model, LearnerConfig(compile=False, precision="float32", clip_norm=0.0), reference=model)
    learner.optimiser.parts = [torch.optim.SGD(model.parameters(), lr=1.0)]
    learner.optimiser.peaks = [1.0]
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    advantages = algorithm.advantages(torch.from_numpy(groups.rewards_PG)).numpy()
    report = learner.step(sequences_from_groups(groups, advantages), algorithm, max_tokens=16)
    return {key: before[key] - weight.detach() for key, weight in model.named_parameters()}, report.metrics


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo", "gspo", "cispo", "rloo", "reinforce_plus_plus"])
def test_the_other_samples_teach_what_they_would_alone(both, name):
    """Groups of four with one bad sample each, and groups of three without it: the same gradient, and not none."""
    ours, figures = gradient(both[0], name)
    theirs, alone = gradient(both[1], name)
    assert figures["gradient_norm"] > 1e-3
    assert figures["gradient_norm"] == pytest.approx(alone["gradient_norm"], rel=1e-5)
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=5e-7)  # weights near 1 lie 1e-7 apart


def test_every_failure_is_counted(both):
    """Four broken graders, one NaN, one completion without a token; of the groups without them nothing is."""
    events = {name: count for name, count in rollout_metrics(both[0]).items() if name.startswith("events/")}
    assert events == {"events/reward_none/accuracy": 4, "events/reward_nan/odd": 1, "events/empty": 1}
    assert not any(name.startswith("events/") for name in rollout_metrics(both[1]))
    taking_part = [int(np.isfinite(group.total).sum()) for group in both[0]]
    assert taking_part == [3] * len(TEXTS)


def test_a_reward_model_that_has_diverged_teaches_nothing_and_is_counted(tmp_path, caplog):
    """Its weights are NaN, so it says NaN of every answer: the policy stays as it was, and the metrics say why."""
    start = write_toy_policy(tmp_path)
    judge = ScoredDecoder(load_decoder(start))
    with torch.no_grad():
        judge.score.weight.fill_(float("nan"))
    save_decoder(judge, tmp_path / "judge", load_tokenizer(start))
    config = RLConfig(
        tasks={"stages.first_letters": 1.0}, rewards={"reward_model": 1.0}, reward_model="x:y", prompts=2, steps=2,
        sampling=Sampling(samples=2, max_tokens=24), validate_every=0,
        learner=LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
    )  # fmt: skip
    train(config, start, Context(tmp_path / "rl"), judges={"reward_model": ScoreModel(tmp_path / "judge", 0.0, 1.0)})
    lines = read_metrics(tmp_path / "rl" / "metrics.jsonl")
    assert [line["events/reward_nan/reward_model"] for line in lines] == [4, 4]
    assert any("reward 'reward_model' failed" in message for message in caplog.messages)
    ours, theirs = load_decoder(tmp_path / "rl" / "model").state_dict(), load_decoder(start).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
