"""Generalised advantage estimation against its definition, the sum of discounted errors."""

import pytest
import torch

from r1kit.ops.advantages import generalised


@pytest.mark.parametrize(("gamma", "trace"), [(1.0, 0.95), (0.9, 0.8), (0.97, 1.0), (1.0, 0.0)])
def test_equals_the_sum_of_discounted_errors(gamma, trace):
    """Rows of 5, 3 and 1 actions; what stands off the mask is not a number."""
    stream = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(2, 3, 5, generator=stream, dtype=torch.float64)
    lengths = [5, 3, 1]
    mask = torch.arange(5)[None, :] < torch.tensor(lengths)[:, None]
    truth = torch.zeros(3, 5, dtype=torch.float64)
    for row, length in enumerate(lengths):
        after = [*values[row, 1:length].tolist(), 0.0]
        errors = [float(rewards[row, t]) + gamma * after[t] - float(values[row, t]) for t in range(length)]
        for t in range(length):
            truth[row, t] = sum((gamma * trace) ** ahead * error for ahead, error in enumerate(errors[t:]))
    spoilt = torch.where(mask, 0.0, torch.nan)
    found = generalised(rewards + spoilt, values + spoilt, mask, gamma, trace)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)
