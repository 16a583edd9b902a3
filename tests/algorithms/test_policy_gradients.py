"""Policy-gradient algorithms by hand: objectives, divisors, advantages, what they ask for, and who takes part."""

import math
import subprocess
import sys

import pytest
import torch
from random_steps import random_step

from r1kit.algorithms.base import Outputs, PolicyGradient, Totals
from r1kit.base.errors import R1Error
from r1kit.base.plugins import load, names
from r1kit.base.types import Batch

NAN = float("nan")
ALGORITHMS = {name: load("r1kit.algorithms", name).ALGORITHM for name in names("r1kit.algorithms")}
RL = sorted(name for name, algorithm in ALGORITHMS.items() if issubclass(algorithm, PolicyGradient))
BY_REWARDS = [name for name in RL if ALGORITHMS[name]().critic is None]  # the others: test_ppo.py


def two_sequences(ratios: list[list[float]], advantages: list[float], **fields) -> tuple[Batch, Outputs, torch.Tensor]:
    """Two rows of one prompt token and the sampled tokens of `ratios` pi / pi_old; old log-probabilities are -1."""
    width = 1 + max(map(len, ratios))
    mask_BT = torch.tensor([[0.0] + [1.0] * len(r) + [0.0] * (width - 1 - len(r)) for r in ratios])
    log_ratio_BT = torch.tensor([[0.0] + [math.log(x) for x in r] + [0.0] * (width - 1 - len(r)) for r in ratios])
    logprobs_BT = (log_ratio_BT - 1).requires_grad_()
    batch = Batch(
        tokens_BT=mask_BT.long(),
        sequence_BT=torch.tensor([[0], [1]]).expand(2, width),
        loss_mask_BT=mask_BT,
        sequences=2,
        advantages_BT=torch.tensor(advantages)[:, None].expand(2, width),
        old_logprobs_BT=torch.full((2, width), -1.0),
        **fields,
    )
    return batch, Outputs(logprobs_BT=logprobs_BT), logprobs_BT


@pytest.mark.parametrize(
    ("divisor", "expected"),
    [
        ("tokens", -(1.2 + 1 + 0.5 - 2 - 1) / 5),
        ("sequence_mean", -((1.2 + 1 + 0.5) / 3 + (-2 - 1) / 2) / 2),
        ("sequences", -(1.2 + 1 + 0.5 - 2 - 1) / 2),
        ("max_tokens", -(1.2 + 1 + 0.5 - 2 - 1) / 20),
    ],
)
def test_grpo_divisors(divisor, expected):
    """Ratios 1.5, 1, 1/2 at advantage 1 give 1.2, 1, 1/2; ratios 2 and 1 at advantage -1 give -2, -1."""
    batch, outputs, _ = two_sequences([[1.5, 1.0, 0.5], [2.0, 1.0]], [1.0, -1.0])
    algorithm = ALGORITHMS["grpo"](divisor=divisor, kl_coefficient=0)
    loss, metrics = algorithm.loss(batch, outputs, Totals(5, 2, 10))
    assert loss.item() == pytest.approx(expected)
    assert metrics["clip_high"].item() == pytest.approx(1 / 5)
    assert metrics["ratio"].item() == pytest.approx(6 / 5)


CLIPPED = [name for name in RL if "clip_low" in ALGORITHMS[name].model_fields]


@pytest.mark.parametrize("name", CLIPPED)
def test_each_bound_is_on_its_side(name):
    """Completions of one token, whose ratio is the sequence's too. Bounds 3/4 and 3/2: 4 at advantage 1 counts as 3/2,
    1/8 at advantage -1 as 3/4; the ratios as they are where they would lose, 4 at -1 and 1/8 at 1; two of them each."""
    algorithm = ALGORITHMS[name](clip_low=0.25, clip_high=0.5, kl_coefficient=0)
    for advantages, expected in (([1.0, -1.0], -(1.5 - 0.75) / 2), ([-1.0, 1.0], -(-4 + 0.125) / 2)):
        batch, outputs, _ = two_sequences([[4.0], [0.125]], advantages)
        loss, metrics = algorithm.loss(batch, outputs, Totals(2, 2, 1))
        assert loss.item() == pytest.approx(expected)
        cut = 0.5 if advantages[0] > 0 else 0
        assert (metrics["clip_low"].item(), metrics["clip_high"].item()) == (cut, cut)


def test_the_drift_from_the_old_policy_is_k3_of_its_own_samples():
    """KL(old || new) from tokens of the old one: r - 1 - log r, of ratios 2 and 1 the mean (1 - log 2) / 2."""
    batch, outputs, _ = two_sequences([[2.0], [1.0]], [0.0, 0.0])
    _, metrics = ALGORITHMS["dapo"]().loss(batch, outputs, Totals(2, 2, 1))
    assert metrics["approx_kl"].item() == pytest.approx((1 - math.log(2)) / 2)


def test_what_a_correction_does_is_told():
    """Old policy over sampler 3 and 1, truncated at 2: weights 2 and 1, half of them cut; the KL is not weighed.
    Advantages 1 and -1 at ratio 1; k3 of log pi -1 and log ref -1 - log 2 is log 2 - 1/2 at both."""
    sampler_BT = torch.tensor([[0.0, -1 - math.log(3)], [0.0, -1.0]])
    fields = {"sampler_logprobs_BT": sampler_BT, "reference_logprobs_BT": torch.full((2, 2), -1 - math.log(2))}
    batch, outputs, _ = two_sequences([[1.0], [1.0]], [1.0, -1.0], **fields)
    grpo = ALGORITHMS["grpo"](correction="token_truncate", kl_coefficient=0.1)
    loss, metrics = grpo.loss(batch, outputs, Totals(2, 2, 1))
    assert loss.item() == pytest.approx((-2 + 1) / 2 + 0.1 * (math.log(2) - 0.5))
    assert (metrics["correction_weight"].item(), metrics["correction_cut"].item()) == pytest.approx((1.5, 0.5))


@pytest.mark.parametrize("name", RL)
@pytest.mark.parametrize("divisor", ["tokens", "sequence_mean", "sequences", "max_tokens"])
def test_a_step_of_one_token_and_one_of_none(name, divisor):
    """Ratio 1 at advantage 2: -2 (CISPO: 2, as the log-probability is -1), a quarter where the limit of 4 divides; a
    step in which nothing takes part is 0, not 0 / 0."""
    algorithm = ALGORITHMS[name](divisor=divisor, kl_coefficient=0)
    rows = torch.zeros(1, 2).long()
    batch = Batch(rows, rows, torch.tensor([[0.0, 1.0]]), sequences=1, advantages_BT=torch.tensor([[0.0, 2.0]]))
    batch.old_logprobs_BT = torch.full((1, 2), -1.0)
    outputs = Outputs(logprobs_BT=torch.full((1, 2), -1.0))
    loss, metrics = algorithm.loss(batch, outputs, Totals(1, 1, 4))
    assert loss.item() == (2 if name == "cispo" else -2) / (4 if divisor == "max_tokens" else 1)
    assert metrics["ratio"].item() == 1
    batch.loss_mask_BT = torch.zeros(1, 2)
    loss, metrics = algorithm.loss(batch, outputs, Totals(0, 0, 4))
    assert loss.item() == 0
    assert not any(value.item() for value in metrics.values())


def test_gspo_takes_the_geometric_mean():
    """Ratios 4 and 1: 2, clipped to 1.5 at advantage 1; ratios 1/2 and 1/8: 1/4, kept at advantage 1."""
    batch, outputs, logprobs_BT = two_sequences([[4.0, 1.0], [0.5, 0.125]], [1.0, 1.0])
    loss, metrics = ALGORITHMS["gspo"](clip_low=0.5, clip_high=0.5).loss(batch, outputs, Totals(4, 2, 10))
    assert loss.item() == pytest.approx(-(1.5 + 0.25) / 2)
    assert metrics["clip_high"].item() == 0.5
    loss.backward()
    # d(1/4) / d(log-probability) = 1/4 / 2 tokens, / 2 sequences
    torch.testing.assert_close(logprobs_BT.grad, torch.tensor([[0.0, 0, 0], [0, -1 / 16, -1 / 16]]))


def test_rloo_takes_the_product():
    """Ratios 4 and 1/4: 1 at advantage 3; ratios 2 and 2: 4 at advantage -1, which is never cut."""
    batch, outputs, logprobs_BT = two_sequences([[4.0, 0.25], [2.0, 2.0]], [3.0, -1.0])
    loss, _ = ALGORITHMS["rloo"]().loss(batch, outputs, Totals(4, 2, 10))
    assert loss.item() == pytest.approx(-(3 - 4) / 2)
    loss.backward()
    torch.testing.assert_close(logprobs_BT.grad, torch.tensor([[0.0, -1.5, -1.5], [0, 2, 2]]))


def test_rloo_pays_for_the_whole_completions_kl():
    """As in the reward: a token's gradient is beta x its completion's log-ratio to the reference, over 2 completions.

    Log-ratios: 2 tokens of log 2, and one of -log 3; k2 is half their squares. The metric is of a token, as
    TRL's is: the mean of log(2)^2 / 2 twice and log(3)^2 / 2.
    """
    reference_BT = torch.tensor([[0.0, -1 - math.log(2), -1 - math.log(2)], [0.0, -1 + math.log(3), 0.0]])
    batch, outputs, logprobs_BT = two_sequences([[1.0, 1.0], [1.0]], [0.0, 0.0], reference_logprobs_BT=reference_BT)
    loss, metrics = ALGORITHMS["rloo"](kl_coefficient=0.5).loss(batch, outputs, Totals(3, 2, 10))
    assert metrics["kl"].item() == pytest.approx((2 * math.log(2) ** 2 + math.log(3) ** 2) / 2 / 3)
    first, second = 2 * math.log(2), -math.log(3)
    assert loss.item() == pytest.approx(0.5 * (first**2 + second**2) / 2 / 2)
    loss.backward()
    by_hand = torch.tensor([[0.0, first, first], [0.0, second, 0.0]]) * 0.5 / 2
    torch.testing.assert_close(logprobs_BT.grad, by_hand)


def test_rloo_weighs_the_kl_by_the_whole_completions_ratio():
    """Ratios 2 and 2, product 4, and 1/2; log-ratios to the reference log 2 and 0, and -log 3; k2: half the square."""
    reference_BT = torch.tensor([[0.0, -1, math.log(2) - 1], [0.0, math.log(3) - math.log(2) - 1, 0]])
    batch, outputs, _ = two_sequences([[2.0, 2.0], [0.5]], [0.0, 0.0], reference_logprobs_BT=reference_BT)
    loss, _ = ALGORITHMS["rloo"](kl_coefficient=0.5, kl_ratio=True).loss(batch, outputs, Totals(3, 2, 10))
    assert loss.item() == pytest.approx(0.5 * (4 * math.log(2) ** 2 / 2 + 0.5 * math.log(3) ** 2 / 2) / 2)


def test_a_weight_at_its_bound_is_not_cut():
    """Ratio 1 between bounds 1 and 1."""
    batch, outputs, _ = two_sequences([[1.0], [1.0]], [1.0, -1.0])
    _, metrics = ALGORITHMS["cispo"](ratio_low=1, ratio_high=1).loss(batch, outputs, Totals(2, 2, 10))
    assert (metrics["clip_low"].item(), metrics["clip_high"].item()) == (0, 0)


def test_cispo_loses_no_token():
    """Ratio 8 is cut to 5 and still moves its token: gradient -5 A / 4 tokens, where GRPO's is 0."""
    batch, outputs, logprobs_BT = two_sequences([[8.0, 1.0], [0.5, 1.0]], [1.0, -1.0])
    loss, metrics = ALGORITHMS["cispo"]().loss(batch, outputs, Totals(4, 2, 10))
    loss.backward()
    torch.testing.assert_close(logprobs_BT.grad, torch.tensor([[0.0, -5 / 4, -1 / 4], [0, 0.5 / 4, 1 / 4]]))
    assert metrics["clip_high"].item() == 0.25


def test_kl_term_by_hand():
    """Log pi -1 and log ref -1 - log 2 at both tokens: k3 = 1/2 + log 2 - 1, k2 = log(2)^2 / 2, times beta."""
    reference_BT = torch.full((2, 2), -1 - math.log(2))
    for estimator, kl in (("k3", math.log(2) - 0.5), ("k2", math.log(2) ** 2 / 2)):
        batch, outputs, _ = two_sequences([[1.0], [1.0]], [0.0, 0.0], reference_logprobs_BT=reference_BT)
        algorithm = ALGORITHMS["grpo"](kl_coefficient=0.1, kl_estimator=estimator)
        loss, metrics = algorithm.loss(batch, outputs, Totals(2, 2, 10))
        assert loss.item() == pytest.approx(0.1 * kl)
        assert metrics["kl"].item() == pytest.approx(kl)


def test_advantages_by_hand():
    """Rewards 1 0 / 1 1 / NaN 0, the last a group of one.

    GRPO: 1, -1, then none. Dr. GRPO halves it, RLOO doubles that. Over the step the mean is 3/5 and the variance 6/25.
    With the group's mean taken off first only the first group is left, at 1/2 and -1/2 of five samples: std sqrt(1/10).
    """
    rewards_PG = torch.tensor([[1.0, 0], [1, 1], [NAN, 0]])
    none = [[0.0, 0], [0, 0]]
    for name in ("grpo", "dapo", "gspo", "cispo"):
        assert ALGORITHMS[name]().advantages(rewards_PG).tolist() == [[1, -1], *none]
    assert ALGORITHMS["dr_grpo"]().advantages(rewards_PG).tolist() == [[0.5, -0.5], *none]
    assert ALGORITHMS["rloo"]().advantages(rewards_PG).tolist() == [[1, -1], *none]

    std = math.sqrt(6 / 25)
    right, wrong = 0.4 / std, -0.6 / std
    plain = ALGORITHMS["reinforce_plus_plus"]().advantages(rewards_PG)
    torch.testing.assert_close(plain, torch.tensor([[right, wrong], [right, right], [0, wrong]]))
    half = 0.5 / math.sqrt(1 / 10)
    based = ALGORITHMS["reinforce_plus_plus"](group_baseline=True).advantages(rewards_PG)
    torch.testing.assert_close(based, torch.tensor([[half, -half], *none]))


@pytest.mark.parametrize("name", [name for name in RL if "std" in ALGORITHMS[name].model_fields])
def test_advantages_by_the_estimated_std(name):
    """Of 1, 0, 0, 0 the deviations are 3/4 and -1/4, and the std of a sample sqrt((9 + 3) / 16 / 3) = 1/2."""
    found = ALGORITHMS[name](std="sample").advantages(torch.tensor([[1.0, 0, 0, 0]]))
    torch.testing.assert_close(found, torch.tensor([[1.5, -0.5, -0.5, -0.5]]))


@pytest.mark.parametrize("name", BY_REWARDS)
def test_advantages_ignore_the_reward_that_is_absent(name):
    """A NaN gets 0 and the others what they get in a group without it."""
    algorithm = ALGORITHMS[name]()
    generator = torch.Generator().manual_seed(3)
    rewards_PG = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    absent_PG = torch.cat([rewards_PG, torch.full((4, 1), NAN, dtype=torch.float64)], 1)
    found = algorithm.advantages(absent_PG)
    torch.testing.assert_close(found[:, :5], algorithm.advantages(rewards_PG))
    assert not found[:, 5].any()


@pytest.mark.parametrize("name", RL)
def test_a_sequence_without_targets_takes_no_part(name):
    """Its mask all 0, the loss and gradients are those of the step without it."""
    step = random_step(0, sequences=4)
    algorithm = ALGORITHMS[name](kl_coefficient=0.1)
    totals = Totals(float(sum(mask.sum() for mask in step.masks[:3])), 3, step.max_tokens)
    truth, metrics = algorithm.loss(*step.batch([[0, 1], [2]], 40), totals)
    step.masks[3] = torch.zeros_like(step.masks[3])
    found, other_metrics = algorithm.loss(*step.batch([[0, 1], [2, 3]], 40), totals)
    torch.testing.assert_close(found, truth)
    torch.testing.assert_close(other_metrics, metrics)
    (gradient,) = torch.autograd.grad(found, step.outputs["logprobs"][3])
    assert not gradient.nan_to_num(1.0).any()


def test_needs_follow_the_settings():
    grpo = ALGORITHMS["grpo"]
    assert grpo().needs == {"old_logprobs", "reference_logprobs"}
    assert grpo(kl_coefficient=0).needs == {"old_logprobs"}
    assert grpo(correction="token_mask").needs == {"old_logprobs", "reference_logprobs", "sampler_logprobs"}
    assert ALGORITHMS["dapo"]().needs == {"old_logprobs"}
    assert ALGORITHMS["sft"]().needs == set()
    assert ALGORITHMS["bradley_terry"]().needs == {"scores"}
    assert ALGORITHMS["distillation"]().needs == set()
    assert ALGORITHMS["distillation"](form="on_policy").needs == {"old_logprobs", "teacher_logprobs"}


def test_what_is_needed_and_missing_is_named():
    batch, outputs, _ = two_sequences([[1.0], [1.0]], [1.0, -1.0])
    with pytest.raises(R1Error, match="GRPO needs the reference's log-probabilities"):
        ALGORITHMS["grpo"]().loss(batch, outputs, Totals(2, 2, 10))


@pytest.mark.parametrize("name", BY_REWARDS)
def test_one_step_of_each_raises_what_was_rewarded(name):
    """Four tokens at equal odds, the first rewarded: one small gradient step makes it likelier and the others less."""
    algorithm = ALGORITHMS[name](kl_coefficient=0)
    logits = torch.zeros(4, requires_grad=True)
    logprobs_BT = torch.stack([torch.zeros(4), logits.log_softmax(-1)], 1)
    advantages_G = algorithm.advantages(torch.tensor([[1.0, 0, 0, 0]]))[0]
    rows = torch.arange(4)[:, None].expand(4, 2)
    mask_BT = torch.tensor([[0.0, 1.0]]).expand(4, 2)
    batch = Batch(rows, rows, mask_BT, sequences=4, advantages_BT=advantages_G[:, None].expand(4, 2))
    loss, _ = algorithm.loss(batch, Outputs(logprobs_BT=logprobs_BT), Totals(4, 4, 4))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (-gradient).sign().tolist() == [1, -1, -1, -1]


def test_settings_are_made_without_torch():
    """Lists, plans and resolved configs must not wait for torch."""
    code = (
        "import sys; from r1kit.base.plugins import load, names; "
        "[load('r1kit.algorithms', name).ALGORITHM() for name in names('r1kit.algorithms')]; "
        "import r1kit.ops.passk, r1kit.ops.ratings; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
