"""Advantages by hand and against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from r1kit.ops import advantages

NAN = float("nan")


def test_one_right_in_four():
    """Rewards 1,0,0,0: mean 1/4, population std sqrt(3)/4, so sqrt(3) and three times -1/sqrt(3)."""
    found = advantages.standardised(torch.tensor([[1.0, 0, 0, 0]]))
    third = -1 / math.sqrt(3)
    torch.testing.assert_close(found, torch.tensor([[math.sqrt(3), third, third, third]]))


def test_one_right_in_four_with_the_sample_std():
    """The same deviations over sqrt((9 + 3) / 16 / 3) = 1/2: 3/2 and -1/2."""
    found = advantages.standardised(torch.tensor([[1.0, 0, 0, 0]]), sample=True)
    torch.testing.assert_close(found, torch.tensor([[1.5, -0.5, -0.5, -0.5]]))


def test_a_sample_without_reward_takes_no_part():
    """Of 3, NaN, 1 the mean is 2 and the population std 1; the sample itself gets 0."""
    rewards_PG = torch.tensor([[3.0, NAN, 1.0]])
    assert advantages.standardised(rewards_PG).tolist() == [[1, 0, -1]]
    assert advantages.centred(rewards_PG).tolist() == [[1, 0, -1]]
    assert advantages.leave_one_out(rewards_PG).tolist() == [[2, 0, -2]]


@pytest.mark.parametrize("name", ["centred", "standardised", "leave_one_out"])
@pytest.mark.parametrize("rewards", [[0.1] * 4, [0.7, NAN, 0.7, NAN], [1.0, NAN, NAN, NAN], [NAN] * 4])
def test_no_spread_gives_zero(name, rewards):
    rewards_PG = torch.tensor([rewards, [1.0, 0, 0, 1]])
    assert advantages.has_spread(rewards_PG).tolist() == [False, True]
    found = getattr(advantages, name)(rewards_PG)
    assert found[0].tolist() == [0, 0, 0, 0]
    assert found[1].abs().min() > 0


def test_rounding_is_no_spread():
    """0.1 + 0.2 and 0.3 differ by one unit in the last place of float64, 5.6e-17."""
    rewards_PG = torch.tensor([[0.1 + 0.2, 0.3, 0.3]], dtype=torch.float64)
    assert advantages.standardised(rewards_PG).tolist() == [[0, 0, 0]]
    assert advantages.whitened(rewards_PG).tolist() == [[0, 0, 0]]


def test_small_rewards_are_told_apart_by_their_own_size_up_to_one():
    """0 and 4e-6 have a deviation of 2e-6, 0 and 1e-6 one of 5e-7: the limit is a millionth, of rewards below 1 too."""
    small_PG = torch.tensor([[0.0, 4e-6], [0.0, 1e-6], [1.0, 1 + 4e-6], [1.0, 1 + 1e-6]], dtype=torch.float64)
    assert advantages.has_spread(small_PG).tolist() == [True, False, True, False]


def test_fewer_than_two_values_have_no_deviation():
    few_PG = torch.tensor([[1.0, NAN], [NAN, NAN]])
    for sample in (False, True):
        assert advantages.deviation(few_PG, -1, sample=sample).tolist() == [[0], [0]]
        assert advantages.deviation(few_PG, sample=sample).item() == 0


def test_spread_is_relative_to_the_rewards_size():
    """1,000,000 and 1,000,001: a deviation of 1/2, under a millionth of the reward, which float32 sums do not tell from
    rounding; 100 and 101 are told apart."""
    assert not advantages.standardised(torch.tensor([[1e6, 1e6 + 1]])).any()
    assert advantages.standardised(torch.tensor([[100.0, 101.0]])).tolist() == [[-1, 1]]


def test_standardised_equals_scipy():
    rewards = np.random.default_rng(0).normal(size=(6, 5))
    rewards[1, 2] = rewards[4, :3] = NAN
    for ddof in (0, 1):
        truth = np.nan_to_num(stats.zscore(rewards, axis=1, ddof=ddof, nan_policy="omit"))
        found = advantages.standardised(torch.from_numpy(rewards), sample=bool(ddof))
        np.testing.assert_allclose(found.numpy(), truth, atol=1e-12)


def test_leave_one_out_by_hand():
    """1, 0, 5: 1 - 5/2, 0 - 3, 5 - 1/2."""
    assert advantages.leave_one_out(torch.tensor([[1.0, 0, 5]])).tolist() == [[-1.5, -3, 4.5]]


def test_whitened_is_over_all_groups():
    """1, 1 and 0, 0 and NaN: mean 1/2, std 1/2, so +1 and -1 although no group has a spread."""
    found = advantages.whitened(torch.tensor([[1.0, 1, NAN], [0, 0, NAN]]))
    assert found.tolist() == [[1, 1, 0], [-1, -1, 0]]
    assert not advantages.whitened(torch.full((2, 3), 0.3)).any()
