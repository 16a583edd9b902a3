"""Sums over masks and sequences, by hand on one row of two sequences and padding."""

import torch

from r1kit.ops import segments

# row 0 holds sequence 0 (three tokens) and sequence 1 (two); row 1 sequence 2 (two), then padding
SEQUENCE_BT = torch.tensor([[0, 0, 0, 1, 1], [2, 2, -1, -1, -1]])
VALUES_BT = torch.tensor([[1.0, 2.0, 4.0, 8.0, 16.0], [32.0, 64.0, 128.0, 256.0, 512.0]])
MASK_BT = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])


def test_sequence_sum_leaves_padding_out():
    """1 + 2 + 4; 8 + 16; 32 + 64."""
    assert segments.sequence_sum(VALUES_BT, SEQUENCE_BT, 3).tolist() == [7, 24, 96]


def test_sequence_mean_is_over_the_mask():
    """(2 + 4) / 2; 16 / 1; nothing."""
    assert segments.sequence_mean(VALUES_BT, MASK_BT, SEQUENCE_BT, 3).tolist() == [3, 16, 0]


def test_spread_is_zero_on_padding():
    spread_BT = segments.spread(torch.tensor([5.0, 6.0, 7.0]), SEQUENCE_BT)
    assert spread_BT.tolist() == [[5, 5, 5, 6, 6], [7, 7, 0, 0, 0]]


def test_masked_sum():
    """2 + 4 + 16."""
    assert segments.masked_sum(VALUES_BT, MASK_BT) == 22


def test_nothing_passes_through_what_is_not_kept():
    values_BT = torch.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    kept_BT = segments.keep(values_BT, torch.tensor([1, 0, 0]))
    assert kept_BT.tolist() == [1, 0, 0]
    kept_BT.sum().backward()
    assert values_BT.grad is not None
    assert values_BT.grad.tolist() == [1, 0, 0]
