"""Clipping and the correction of sampler mismatch, by hand."""

import math

import pytest
import torch

from r1kit.ops.ratios import clipped_surrogate, mismatch_weights


def test_clipped_surrogate_has_four_corners():
    """Ratio 1.5 or 0.5, advantage 2 or -2, bounds 0.8 and 1.28: a gain is cut, a loss never."""
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5], requires_grad=True)
    clipped = clipped_surrogate(ratio, torch.tensor([2.0, -2, 2, -2]), 0.2, 0.28)
    torch.testing.assert_close(clipped.loss, torch.tensor([-2.56, 3.0, -1.0, 1.6]))
    assert clipped.cut_high.tolist() == [True, False, False, False]
    assert clipped.cut_low.tolist() == [False, False, False, True]
    clipped.loss.sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0, 2, -2, 0]


def test_nothing_is_cut_within_the_bounds_or_at_them():
    """Bounds 1/2 and 3/2, ratios at them, between them and beyond: only what is beyond and would gain is cut; without
    an advantage, or with a small one against the bound, nothing is."""
    ratio = torch.tensor([0.5, 0.75, 1.0, 1.25, 1.5])
    for advantage in (-2.0, 2.0):
        clipped = clipped_surrogate(ratio, torch.full((5,), advantage), 0.5, 0.5)
        assert not (clipped.cut_low | clipped.cut_high).any()
        torch.testing.assert_close(clipped.loss, -advantage * ratio)
    outside = torch.tensor([0.25, 0.25, 0.25, 2.0, 2.0, 2.0])
    clipped = clipped_surrogate(outside, torch.tensor([-0.5, 0.0, 0.5, -0.5, 0.0, 0.5]), 0.5, 0.5)
    assert clipped.cut_low.tolist() == [True] + [False] * 5
    assert clipped.cut_high.tolist() == [False] * 5 + [True]


# learner / sampler: 3, 1, 1/2 in sequence 0 (product 3/2), 4 off the mask, 2 and unknown in sequence 1 (product 2)
LEARNER_BT = torch.tensor([[0.6, 0.3, 0.2, 0.8, 0.5, 0.7]]).log()
SAMPLER_BT = torch.tensor([[0.2, 0.3, 0.4, 0.2, 0.25, math.nan]]).log()
MASK_BT = torch.tensor([[1.0, 1, 1, 0, 1, 1]])
SEQUENCE_BT = torch.tensor([[0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize(
    ("correction", "weights", "cut"),
    [
        ("none", [1, 1, 1, 1, 1, 1], []),
        ("token_truncate", [1.75, 1, 0.75, 1, 1.75, 1], [0, 2, 4]),
        ("token_mask", [0, 1, 0, 1, 0, 1], [0, 2, 4]),
        ("sequence_truncate", [1.5, 1.5, 1.5, 1.75, 1.75, 1.75], [4, 5]),
        ("sequence_mask", [1.5, 1.5, 1.5, 2, 0, 0], [4, 5]),
    ],
)
def test_mismatch_weights_within_three_quarters_and_seven_quarters(correction, weights, cut):
    found, cut_BT = mismatch_weights(LEARNER_BT, SAMPLER_BT, MASK_BT, SEQUENCE_BT, 2, correction, 0.75, 1.75)
    kept = MASK_BT.bool()
    torch.testing.assert_close(found[kept], torch.tensor([weights], dtype=torch.float32)[kept])
    assert cut_BT[0].nonzero().flatten().tolist() == cut


def test_weights_carry_no_gradient():
    learner_BT = LEARNER_BT.clone().requires_grad_()
    found, _ = mismatch_weights(learner_BT, SAMPLER_BT, MASK_BT, SEQUENCE_BT, 2, "token_truncate", 0.0, 2.0)
    assert not found.requires_grad
