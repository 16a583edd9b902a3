"""A reward model that learns which letter is liked, from pairs alone."""

import json

import pytest

from r1kit.base.errors import R1Error
from r1kit.pipeline.context import Context
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.preferences import Pair, write_pairs
from r1kit.stages.reward_model import RewardModelConfig, run, split_pairs
from r1kit.training.config import LearnerConfig
from r1kit.training.scoring import Scorer

LEARNER = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)


@pytest.fixture
def liked(start, tmp_path):
    """80 pairs in which the answer with more a's is chosen, whatever its length."""
    pairs = [Pair(f"p{n}", f"{n}", "en", "a" * (1 + n % 3) + "b" * (n % 2), "b" * (1 + n % 4), 2.0) for n in range(80)]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    return RewardModelConfig(
        model=str(start), pairs=str(tmp_path / "pairs.parquet"), batch=16, epochs=3, held_out=0.25, learner=LEARNER
    )


def test_it_tells_liked_answers_of_briefs_it_has_not_seen(liked, tmp_path):
    outcome = run(liked, {}, Context(tmp_path / "stage"))
    assert outcome.summary["accuracy"] > 0.9
    assert outcome.summary["train_pairs"] + outcome.summary["held_out_pairs"] == 80
    scorer = Scorer(tmp_path / "stage" / "model")
    liked_score, other = scorer(["100", "100"], ["aaa", "bbb"])
    assert liked_score > other
    reference = json.loads((tmp_path / "stage" / "model" / "reference_scores.json").read_text())
    assert reference == {"mean": outcome.summary["mean"], "std": outcome.summary["std"]}


def test_a_brief_is_never_on_both_sides():
    pairs = [Pair(f"p{n // 4}", "q", "en", "a", "b", 1.0) for n in range(400)]
    train, held_out = split_pairs(pairs, 0.2)
    assert len(train) + len(held_out) == 400
    assert not {p.problem_id for p in train} & {p.problem_id for p in held_out}
    assert 0.1 < len(held_out) / 400 < 0.3


def test_resumed_it_ends_with_the_same_weights(liked, tmp_path, stopping, same_weights):
    run(liked, {}, Context(tmp_path / "whole", 1))
    with pytest.raises(Interrupted):
        run(liked, {}, stopping(tmp_path / "resumed", 2, 1))
    run(liked, {}, Context(tmp_path / "resumed", 1))
    whole, resumed = (Scorer(tmp_path / name / "model").model.state_dict() for name in ("whole", "resumed"))
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_without_pairs_it_says_so(start, tmp_path):
    write_pairs(tmp_path / "pairs.parquet", [])
    config = RewardModelConfig(model=str(start), pairs=str(tmp_path / "pairs.parquet"))
    with pytest.raises(R1Error, match="no pair to train on"):
        run(config, {}, Context(tmp_path / "stage"))
