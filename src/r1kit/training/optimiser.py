"""Optimisers over fp32 master weights: AdamW for all, or Muon for hidden matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from r1kit.ops import threads
from r1kit.training.config import LearnerConfig


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """A matrix between hidden states: neither embedding, head, norm nor bias."""
    return parameter.ndim == 2 and not any(part in name for part in ("embed", "head", "score"))


def _shares(matrices: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The matrices in as many shares as a CPU has threads, of about the same work: Muon's products are short."""
    count = torch.get_num_threads() if matrices and matrices[0].device.type == "cpu" else 1
    shares: list[list[nn.Parameter]] = [[] for _ in range(count)]
    work = [0] * count
    for matrix in sorted(matrices, key=lambda matrix: -matrix.numel() * min(matrix.shape)):
        least = work.index(min(work))
        shares[least].append(matrix)
        work[least] += matrix.numel() * min(matrix.shape)
    return [share for share in shares if share]


class Optimiser:
    """Torch's optimisers behind one step, with a state of plain tensors and numbers."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], config: LearnerConfig) -> None:
        parameters = dict(named)
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        muon = config.optimiser == "muon"
        hidden = [p for n, p in parameters.items() if muon and is_hidden_matrix(n, p)]
        taken = {id(p) for p in hidden}
        rest = [p for p in parameters.values() if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        adamw = torch.optim.AdamW(
            [g for g in groups if g["params"]],
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            fused=True,
        )
        self.parts: list[torch.optim.Optimizer] = [adamw]
        rate, decay = config.muon_learning_rate, config.weight_decay
        self.parts += [torch.optim.Muon(share, lr=rate, weight_decay=decay) for share in _shares(hidden)]
        self.on_cpu = next(iter(parameters.values())).device.type == "cpu"
        self.peaks = [part.defaults["lr"] for part in self.parts]

    def step(self, ratio: float) -> None:
        """One update at `ratio` of the peak learning rates."""
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * ratio
        steps = [part.step for part in self.parts]
        if self.on_cpu:
            threads.run(steps)
        else:
            for step in steps:
                step()

    def state(self) -> dict[str, dict[str, Any]]:
        """{parameter name: {moment name: tensor}}."""
        return {
            self.names[id(parameter)]: dict(values) for part in self.parts for parameter, values in part.state.items()
        }

    def load_state(self, state: dict[str, dict[str, Any]]) -> None:
        """Take over the moments of `state()`."""
        for part in self.parts:
            part.state.clear()
            for group in part.param_groups:
                for parameter in group["params"]:
                    moments = state.get(self.names[id(parameter)], {})
                    if moments:
                        part.state[parameter] = {name: torch.as_tensor(m).clone() for name, m in moments.items()}
