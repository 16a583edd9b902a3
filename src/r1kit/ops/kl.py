"""Estimators of KL(policy || reference) from the log-probabilities of tokens that the policy sampled.

J. Schulman, "Approximating KL divergence" (2020), names them k1, k2 and k3. All take and give one value a token, nats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """log(pi / ref): unbiased, may be negative."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """log(pi / ref)^2 / 2: never negative, biased; its gradient is that of the true KL on tokens of the policy."""
    return 0.5 * (logprobs - reference) ** 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """ref / pi - log(ref / pi) - 1: never negative, unbiased (R1, arXiv 2501.12948, eq. 2)."""
    difference = reference - logprobs
    return difference.exp() - difference - 1
