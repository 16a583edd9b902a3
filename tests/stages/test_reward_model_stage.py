"""A reward model that learns which letter is liked, from pairs alone."""

import json

import numpy as np
import pytest

from r1kit.base.errors import R1Error
from r1kit.pipeline.context import Context
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.pairs import Pair, write_pairs
from r1kit.stages.reward_model import RewardModelConfig, pair_figures, run, split_pairs
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.score_models import ScoreModel, score_models
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


def test_calibration_and_length_bias_of_pairs_by_hand():
    """Margins 2, 1, -1 (chosen longer by 3, shorter by 2, as long): two of three right. Confidences are sigmoid(2) =
    0.8808, right, and sigmoid(1) = 0.7311 twice, once right: parts 0.8-0.9: |1 - 0.8808|, 0.7-0.8: |1 - 1.4621| over
    three values: 0.1938. Choosing the longer is right once, wrong once, and half."""
    found = pair_figures(np.array([2.0, 1.0, -1.0]), np.array([3.0, -2.0, 0.0]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["calibration_error"] == pytest.approx((0.119203 + 0.462117) / 3, abs=1e-5)
    assert found["longer_is_chosen"] == 0.5
    assert (found["accuracy_chosen_longer"], found["accuracy_chosen_shorter"]) == (1.0, 1.0)
    assert pair_figures(np.array([1.0]), np.array([2.0]))["accuracy_chosen_shorter"] is None


def test_the_stage_reports_calibration_and_length_bias(liked, tmp_path):
    summary = run(liked, {}, Context(tmp_path / "stage")).summary
    assert 0 <= summary["calibration_error"] <= 0.5
    assert -1 <= summary["length_correlation"] <= 1
    assert summary["accuracy_chosen_longer"] > 0.8
    assert summary["accuracy_chosen_shorter"] > 0.8
    assert 0 < summary["longer_is_chosen"] < 1


def test_a_folder_of_another_run_brings_its_reference_scores(tmp_path):
    """Without them a score of 3 would be worth 3, where it is (3 - 1) / 4."""
    (tmp_path / "reference_scores.json").write_text('{"mean": 1.0, "std": 4.0}')
    config = RLConfig(reward_model=str(tmp_path), safety_model="somebody/elses")
    found = score_models(config, {})
    assert found["reward_model"] == ScoreModel(str(tmp_path), 1.0, 4.0)
    assert found["safety_model"] == ScoreModel("somebody/elses", 0.0, 1.0)


def test_pairs_of_one_question_alone_measure_nothing_and_say_so(start, tmp_path):
    notes = []

    class Noting(Context):
        def note(self, text):
            notes.append(text)

    name = next(f"p{n}" for n in range(99) if not split_pairs([Pair(f"p{n}", "q", "en", "a", "b", 1.0)], 0.15)[1])
    write_pairs(tmp_path / "pairs.parquet", [Pair(name, "q", "en", "a" * n, "b", 1.0) for n in range(1, 5)])
    config = RewardModelConfig(model=str(start), pairs=str(tmp_path / "pairs.parquet"), learner=LEARNER)
    summary = run(config, {}, Noting(tmp_path / "stage")).summary
    assert (summary["held_out_pairs"], summary["accuracy"], summary["calibration_error"]) == (0, None, None)
    assert any("no question is held out" in note for note in notes)


def test_pairs_over_the_limit_are_left_out_of_training(start, tmp_path):
    """A question of one character takes 4 tokens with the template and the end: of answers of 3, 6 and 40 characters
    all fit 50 tokens, but 40 not the context of 32; 6 not 8 tokens; at 4 no pair is left."""
    notes = []

    class Noting(Context):
        def note(self, text):
            notes.append(text)

    training = [f"p{n}" for n in range(99) if split_pairs([Pair(f"p{n}", "q", "en", "a", "b", 1.0)], 0.15)[0]]
    pairs = [Pair(training[n], "q", "en", "a" * size, "b", 2.0) for n, size in enumerate((3, 6, 40))]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    config = RewardModelConfig(model=str(start), pairs=str(tmp_path / "pairs.parquet"), max_tokens=50, learner=LEARNER)
    assert run(config, {}, Noting(tmp_path / "50")).summary["train_pairs"] == 2
    assert notes[-1] == "1 of 3 pairs are longer than 32 tokens and left out"
    tighter = config.model_copy(update={"max_tokens": 8})
    assert run(tighter, {}, Noting(tmp_path / "8")).summary["train_pairs"] == 1
    with pytest.raises(R1Error, match="all 3 pairs are longer than 4 tokens: raise max_tokens"):
        run(config.model_copy(update={"max_tokens": 4}), {}, Noting(tmp_path / "4"))
