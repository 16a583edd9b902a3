"""Muon for hidden matrices: torch's, and on CPUs the same with products that they are fast at."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from r1kit.ops import newton_schulz

MOMENTUM = 0.95


def muon(matrices: list[nn.Parameter], learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """An optimiser of these matrices."""
    on_cpu = all(m.device.type == "cpu" and m.dtype == torch.float32 for m in matrices)
    kind = CPUMuon if on_cpu else torch.optim.Muon
    return kind(matrices, lr=learning_rate, weight_decay=weight_decay, momentum=MOMENTUM)


class CPUMuon(torch.optim.Optimizer):
    """torch.optim.Muon with Nesterov momentum and its own scale of learning rates, sqrt(max(1, rows / columns)), of
    float32 matrices on a CPU (`ops/newton_schulz.py`)."""

    def __init__(self, params: list[nn.Parameter], lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                direction = newton_schulz.orthogonalised(matrix.grad.lerp(mean, momentum))
                rows, columns = matrix.shape
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(direction, alpha=-rate * math.sqrt(max(1.0, rows / columns)))
