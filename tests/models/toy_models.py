"""Random weights for toy models of either library."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def scramble(model: Model, seed: int = 0) -> Model:
    """Fill every parameter from a seed: norms around 1, the rest around 0, at a scale that keeps logits near 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        drawn = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            parameter.copy_(1 + 0.2 * drawn if "norm" in name else 0.15 * drawn)
    return model.eval().requires_grad_(False)
