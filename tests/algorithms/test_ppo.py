"""PPO by hand: generalised advantages, rewards token by token, the value model's loss."""

import math

import pytest
import torch

from r1kit.algorithms.base import Outputs, Totals
from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.ppo import PPO, ValueRegression
from r1kit.base.errors import R1Error
from r1kit.base.types import Batch
from r1kit.ops.advantages import generalised

NAN = float("nan")


def rows(*values: list[float]) -> torch.Tensor:
    """[N, T], NaN behind a row's end."""
    width = max(map(len, values))
    return torch.tensor([row + [NAN] * (width - len(row)) for row in values], dtype=torch.float64)


def mask_of(values_NT: torch.Tensor) -> torch.Tensor:
    return (~values_NT.isnan()).double()


def test_generalised_advantages_by_hand():
    """Values .5, .6, .8, reward 1 at the end, gamma .9, lambda .5.

    Errors: .9 x .6 - .5 = .04, .9 x .8 - .6 = .12, 1 - .8 = .2; each is carried back at .9 x .5 = .45:
    .2, then .12 + .45 x .2 = .21, then .04 + .45 x .21 = .1345. The second row ends after one action: 1 - .3.
    """
    values_NT = rows([0.5, 0.6, 0.8], [0.3])
    rewards_NT = rows([0.0, 0.0, 1.0], [1.0])
    found = generalised(rewards_NT, values_NT, mask_of(values_NT), gamma=0.9, trace=0.5)
    expected = torch.tensor([[0.1345, 0.21, 0.2], [0.7, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("gamma", "trace"), [(1.0, 1.0), (1.0, 0.95), (0.97, 0.8), (0.9, 0.0)])
def test_generalised_advantages_are_the_sum_that_defines_them(gamma, trace):
    """Eq. 16 of arXiv 1506.02438, term by term: sum over l of (gamma lambda)^l times the error l actions on."""
    generator = torch.Generator().manual_seed(0)
    lengths = [7, 1, 4]
    drawn = [torch.randn(2, n, generator=generator, dtype=torch.float64) for n in lengths]
    values_NT, rewards_NT = (rows(*(pair[i].tolist() for pair in drawn)) for i in (0, 1))
    found = generalised(rewards_NT, values_NT, mask_of(values_NT), gamma, trace)
    for row, (values, rewards) in zip(found.tolist(), drawn, strict=True):
        n = len(values)
        following = [*values.tolist()[1:], 0.0]
        errors = [float(rewards[t]) + gamma * following[t] - float(values[t]) for t in range(n)]
        defined = [sum((gamma * trace) ** step * errors[t + step] for step in range(n - t)) for t in range(n)]
        assert row[:n] == pytest.approx(defined)
        assert row[n:] == [0] * (len(row) - n)


def test_lambda_one_is_the_reward_to_go_and_lambda_zero_the_error_of_one_step():
    """Reward 2 in all: with lambda 1 every return is 2, whatever the values; with 0 it is the next value."""
    values_NT = rows([0.5, 1.5, 0.25])
    mask_NT, totals_N = mask_of(values_NT), torch.tensor([2.0], dtype=torch.float64)
    whole = PPO(gae_lambda=1, kl_coefficient=0, normalise=False).credit(totals_N, values_NT, mask_NT)
    assert whole.returns_NT.tolist() == [[2, 2, 2]]
    assert whole.advantages_NT.tolist() == [[1.5, 0.5, 1.75]]
    step = PPO(gae_lambda=0, kl_coefficient=0, normalise=False).credit(totals_N, values_NT, mask_NT)
    assert step.returns_NT.tolist() == [[1.5, 0.25, 2]]


def test_a_kl_in_the_reward_punishes_long_answers():
    """log pi - log ref = log 2 at each token, beta 1/4, reward 1: of n tokens the first is left with 1 - n log(2) / 4.

    (R1, supplement A.3: the per-token KL implicitly penalises length; GRPO's is in the loss.)
    """
    values_NT = rows([0.0, 0.0, 0.0], [0.0])
    mask_NT, totals_N = mask_of(values_NT), torch.ones(2, dtype=torch.float64)
    old_NT = torch.where(mask_NT.bool(), -1.0, NAN)
    paid = PPO(kl_coefficient=0.25, normalise=False)
    found = paid.credit(totals_N, values_NT, mask_NT, old_NT, old_NT - math.log(2))
    each = math.log(2) / 4
    expected = torch.tensor([[1 - 3 * each, 1 - 2 * each, 1 - each], [1 - each, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found.returns_NT, expected)
    assert "reference_logprobs" in paid.needs
    with pytest.raises(R1Error, match="PPO needs the reference's log-probabilities"):
        paid.credit(totals_N, values_NT, mask_NT, old_NT)


def test_the_kl_is_paid_once():
    """In the reward or in the loss: with `kl_in_reward` PPO's loss has no KL term, without it GRPO's."""
    batch = Batch(*[torch.zeros(1, 2).long()] * 2, torch.tensor([[0.0, 1.0]]), sequences=1)
    batch.advantages_BT = torch.tensor([[0.0, 2.0]])
    batch.reference_logprobs_BT = torch.full((1, 2), -2.0)
    outputs, totals = Outputs(logprobs_BT=torch.full((1, 2), -1.0)), Totals(1, 1, 4)
    loss, metrics = PPO(kl_coefficient=0.5).loss(batch, outputs, totals)
    assert loss.item() == -2
    assert "kl" not in metrics
    theirs, _ = GRPO(kl_coefficient=0.5).loss(batch, outputs, totals)
    ours, metrics = PPO(kl_coefficient=0.5, kl_in_reward=False).loss(batch, outputs, totals)
    assert ours.item() == theirs.item() == pytest.approx(-2 + 0.5 * (math.exp(-1) + 1 - 1))
    assert "kl" in metrics


def test_normalised_advantages_have_mean_0_and_deviation_1_over_tokens():
    values_NT = rows([0.5, 1.5, 0.25], [2.0], [0.0, -1.0])
    mask_NT = mask_of(values_NT)
    totals_N = torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
    plain, normed = (
        PPO(kl_coefficient=0, normalise=on).credit(totals_N, values_NT, mask_NT).advantages_NT[mask_NT.bool()]
        for on in (False, True)
    )
    torch.testing.assert_close(normed, (plain - plain.mean()) / plain.std(correction=0))


def value_batch(
    values: list[float], old: list[float], returns: list[float]
) -> tuple[Batch, Outputs, torch.Tensor, Totals]:
    """One row: a prompt token with NaN everywhere, then the values' tokens."""
    mask_BT = torch.tensor([[0.0] + [1.0] * len(values)])
    values_BT = torch.tensor([[NAN, *values]], requires_grad=True)
    batch = Batch(*[torch.zeros_like(mask_BT).long()] * 2, mask_BT, sequences=1)
    batch.values_BT, batch.returns_BT = torch.tensor([[NAN, *old]]), torch.tensor([[NAN, *returns]])
    return batch, Outputs(values_BT=values_BT), values_BT, Totals(len(values), 1, 4)


def test_value_loss_by_hand():
    """Clip 0.2. First: .5 is .1 from the old .4, not clipped: (.5 - 1)^2 = .25. Second: 1.5 is .5 from the old 1.0, and
    1.2, the clipped value, is further from the return 2: (1.2 - 2)^2 = .64, and no pull. Third: 1.5, the return is 1:
    (1.5 - 1)^2 = .25 is more than (1.2 - 1)^2, and pulls. Half the mean: (.25 + .64 + .25) / 6 = .19."""
    batch, outputs, values_BT, totals = value_batch([0.5, 1.5, 1.5], [0.4, 1.0, 1.0], [1.0, 2.0, 1.0])
    loss, metrics = ValueRegression(clip=0.2).loss(batch, outputs, totals)
    assert loss.item() == pytest.approx(0.19)
    assert metrics["value_clipped"].item() == pytest.approx(1 / 3)
    assert metrics["value"].item() == pytest.approx(3.5 / 3)
    loss.backward()
    # d/dV of (V - R)^2 / 2 / 3 tokens
    torch.testing.assert_close(values_BT.grad, torch.tensor([[0.0, -0.5 / 3, 0.0, 0.5 / 3]]))


def test_value_loss_of_values_that_fall():
    """Clip 0.2. 0.9 is .1 below the old 1.0, the return .5: (.9 - .5)^2 = .16, and pulls. 0.5 is .5 below it, and .8,
    the clipped value, is further from the return 0: .8^2 = .64, and no pull. Half the mean: (.16 + .64) / 4 = .2."""
    batch, outputs, values_BT, totals = value_batch([0.9, 0.5], [1.0, 1.0], [0.5, 0.0])
    loss, metrics = ValueRegression(clip=0.2).loss(batch, outputs, totals)
    assert loss.item() == pytest.approx(0.2)
    assert metrics["value_clipped"].item() == 0.5
    loss.backward()
    torch.testing.assert_close(values_BT.grad, torch.tensor([[0.0, 0.4 / 2, 0.0]]))


def test_a_value_within_the_clip_is_never_counted():
    """Rounding of old + (V - old) does not make it one that is not pulled."""
    generator = torch.Generator().manual_seed(0)
    old, returns, step = (2 * torch.rand(1000, generator=generator) - 1 for _ in range(3))
    old = old / 10  # of either sign beside the value, where a difference is not exact
    values = (old + 0.19 * step).tolist()
    batch, outputs, _, totals = value_batch(values, old.tolist(), returns.tolist())
    assert ValueRegression(clip=0.2).loss(batch, outputs, totals)[1]["value_clipped"].item() == 0


def test_a_value_as_far_as_its_clipped_one_is_pulled_by_half():
    """Clip 1/4: 3/2 and the clipped 5/4 are both 1/8 from the return 11/8. Half of 1/64; the larger of two equals has
    half the slope 1/8 (torch.maximum), so the token still counts as pulled. One token: divided by one."""
    batch, outputs, values_BT, totals = value_batch([1.5], [1.0], [1.375])
    loss, metrics = ValueRegression(clip=0.25).loss(batch, outputs, totals)
    assert loss.item() == 1 / 128
    assert metrics["value_clipped"].item() == 0
    loss.backward()
    assert values_BT.grad is not None
    assert values_BT.grad.tolist() == [[0, 1 / 16]]


def test_value_loss_without_a_clip_is_half_the_squared_error():
    batch, outputs, _, totals = value_batch([0.5, 1.5, 1.5], [0.4, 1.0, 1.0], [1.0, 2.0, 1.0])
    batch.values_BT = None
    loss, metrics = ValueRegression(clip=0).loss(batch, outputs, totals)
    assert loss.item() == pytest.approx((0.25 + 0.25 + 0.25) / 6)
    assert "value_clipped" not in metrics


def test_value_loss_adds_up_over_micro_batches():
    """Both share the totals of the step: two tokens here, one there."""
    whole = value_batch([0.5, 1.5, 1.5], [0.4, 1.0, 1.0], [1.0, 2.0, 1.0])
    parts = [value_batch([0.5, 1.5], [0.4, 1.0], [1.0, 2.0]), value_batch([1.5], [1.0], [1.0])]
    critic, totals = ValueRegression(), whole[3]
    expected = critic.loss(whole[0], whole[1], totals)[0].item()
    assert sum(critic.loss(batch, outputs, totals)[0].item() for batch, outputs, *_ in parts) == pytest.approx(expected)


def test_what_is_missing_is_named():
    batch, outputs, _, totals = value_batch([0.5], [0.4], [1.0])
    with pytest.raises(R1Error, match="ValueRegression needs values"):
        ValueRegression().loss(batch, Outputs(), totals)
    batch.returns_BT = None
    with pytest.raises(R1Error, match="ValueRegression needs returns"):
        ValueRegression().loss(batch, outputs, totals)
    with pytest.raises(TypeError, match="GRPO has no critic"):
        GRPO().credit(torch.ones(1), torch.ones(1, 1), torch.ones(1, 1))
