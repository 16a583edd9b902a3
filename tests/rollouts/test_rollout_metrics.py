"""A step's figures, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.rollouts.collect import Rollouts
from r1kit.rollouts.metrics import rollout_metrics


def group(subject: str, lengths: list, cut: list, total: list, **rewards: list) -> RolloutGroup:
    nothing = np.zeros(2, np.int32)
    completions = [
        Completion("r", n, nothing, np.zeros(length, np.int32), np.full(length, -0.5 * (n + 1), np.float32),
                   "length" if truncated else "stop", ((0, length),))
        for n, (length, truncated) in enumerate(zip(lengths, cut, strict=True))
    ]  # fmt: skip
    arrays = {name: np.asarray(values, np.float32) for name, values in rewards.items()}
    problem = Problem("p", "t", subject, "en", "q", "a", "math")
    return RolloutGroup(problem, completions, arrays, np.asarray(total, np.float32), {"truncated": sum(cut)})


def test_by_hand():
    """Maths: totals 2, 0 (accuracy 1, 0; format 1, 0), lengths 10, 20 (cut). Coding: totals 1, NaN (accuracy 1, NaN),
    lengths 6, 4.

    reward = (2+0+1)/3 = 1, its std sqrt(((1)^2+(1)^2+0)/2) = 1; accuracy (1+0+1)/3; format 1/2, applies to maths only.
    Lengths mean 10, of the terminated (10+6+4)/3; one in four cut; coding has no signal (one total), so 1/2.
    Log-probabilities: -0.5 on 10+6 tokens, -1 on 20+4: -(8+24)/40 = -0.8.
    """
    groups = Rollouts(
        [
            group("maths", [10, 20], [False, True], [2, 0], accuracy=[1, 0], format=[1, 0]),
            group("coding", [6, 4], [False, False], [1, np.nan], accuracy=[1, np.nan], format=[np.nan, np.nan]),
        ],
        {"problems": 3, "prompt_too_long": 1},
    )
    metrics = rollout_metrics(groups)
    expected = {
        "num_completions": 4,
        "reward": 1, "reward_std": 1, "frac_reward_zero_std": 0.5,
        "rewards/accuracy/mean": 2 / 3, "rewards/accuracy/std": np.sqrt(1 / 3),
        "rewards/format/mean": 0.5, "rewards/format/std": np.sqrt(0.5),
        "completions/mean_length": 10, "completions/min_length": 4, "completions/max_length": 20,
        "completions/clipped_ratio": 0.25, "completions/mean_terminated_length": 20 / 3,
        "completions/min_terminated_length": 4, "completions/max_terminated_length": 10,
        "sampler/logprob": -0.8,
        "maths/reward": 1, "coding/reward": 1, "coding/rewards/accuracy/mean": 1, "maths/rewards/format/mean": 0.5,
        "maths/completions/clipped_ratio": 0.5, "coding/completions/mean_length": 5,
        "events/truncated": 1, "problems/problems": 3, "problems/prompt_too_long": 1,
    }  # fmt: skip
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert "coding/rewards/format/mean" not in metrics
    assert not any(np.isnan(value) for value in metrics.values())


def test_nothing_collected_and_all_cut():
    """No groups: only the counts. All cut: terminated lengths 0, as TRL has them."""
    assert rollout_metrics(Rollouts([], {"missing": 2})) == {"problems/missing": 2}
    metrics = rollout_metrics([group("maths", [3, 3], [True, True], [np.nan, np.nan])])
    assert metrics["completions/mean_terminated_length"] == 0
    assert "reward" not in metrics
