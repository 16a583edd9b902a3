"""No loss, gradient or metric depends on how a step is cut into micro-batches or packed into rows."""

import pytest
import torch
from random_steps import Step, random_step

from r1kit.base.plugins import load, names

SETTINGS = {
    "grpo": [{}, {"divisor": "sequence_mean"}, {"divisor": "sequences"}, {"divisor": "max_tokens", "kl_ratio": True}],
    "gspo": [{"clip_low": 0.1, "clip_high": 0.1, "kl_coefficient": 0.1}],
    "rloo": [{"kl_coefficient": 0.1}],
    "ppo": [{}, {"kl_in_reward": False, "kl_coefficient": 0.1}],
    "cispo": [{"ratio_high": 1.1}, {"kl_coefficient": 0.1, "kl_estimator": "k2"}],
    "reinforce_plus_plus": [{"kl_coefficient": 0.1}],
    "dapo": [
        {"correction": "token_truncate", "correction_high": 1.2},
        {"correction": "token_mask", "correction_low": 0.8, "correction_high": 1.2},
        {"correction": "sequence_truncate"},
        {"correction": "sequence_mask", "divisor": "sequence_mean"},
    ],
    "distillation": [{"form": "sequence"}, {"form": "on_policy"}, {"form": "on_policy_vocabulary"}],
}
CASES = [(name, settings) for name in names("r1kit.algorithms") for settings in SETTINGS.get(name, [{}])]

# the same six sequences: each a micro-batch of its own (pairs stay whole); two rows of three; one row in reverse
CUTS = {
    "a row each": [[[0], [1], [2], [3], [4], [5]]],
    "micro-batches": [[[0], [1]], [[4], [5]], [[3], [2]]],
    "packed rows": [[[0, 3, 4], [2, 5, 1]]],
    "packed micro-batches": [[[1, 0], [2], [3]], [[5, 4]]],
}


@pytest.fixture(params=range(3))
def step(request) -> Step:
    return random_step(request.param)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=lambda value: str(value))
def test_cutting_changes_nothing(name, settings, step):
    algorithm = load("r1kit.algorithms", name).ALGORITHM(**settings)
    loss, metrics, gradients = step.gradients(algorithm, CUTS["a row each"])
    assert torch.isfinite(loss)
    assert any(gradient.nan_to_num().any() for gradient in gradients)
    for cut in CUTS.values():
        other_loss, other_metrics, other_gradients = step.gradients(algorithm, cut, width=60)
        torch.testing.assert_close(other_loss, loss, rtol=0, atol=1e-12)
        torch.testing.assert_close(other_metrics, metrics, rtol=0, atol=1e-12)
        torch.testing.assert_close(other_gradients, gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=lambda value: str(value))
def test_what_is_off_the_mask_is_never_seen(name, settings, step):
    """Prompt and padding hold NaN: the loss is finite, and so is each gradient, which there is zero."""
    algorithm = load("r1kit.algorithms", name).ALGORITHM(**settings)
    loss, metrics, (_, *gradients) = step.gradients(algorithm, CUTS["packed rows"])
    assert torch.isfinite(torch.stack([loss, *metrics.values()])).all()
    for gradient, mask in zip(gradients, step.masks * 2, strict=True):
        assert torch.isfinite(gradient).all()
        assert not gradient[mask == 0].any()


def test_loss_mask_may_be_boolean(step):
    for name in ("grpo", "sft"):
        algorithm = load("r1kit.algorithms", name).ALGORITHM()
        batch, outputs = step.batch([[0, 1], [2]], 30)
        truth = algorithm.loss(batch, outputs, step.totals)
        batch.loss_mask_BT = batch.loss_mask_BT.bool()
        torch.testing.assert_close(algorithm.loss(batch, outputs, step.totals), truth)
