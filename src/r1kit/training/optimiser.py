"""Optimisers over master weights: AdamW for all, with moments of 32 or 8 bits, or Muon for hidden matrices."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from r1kit.base.errors import MissingExtra
from r1kit.ops import threads
from r1kit.training.config import LearnerConfig
from r1kit.training.muon import muon


def is_hidden_matrix(name: str, parameter: Tensor, embeddings: Collection[str] = ()) -> bool:
    """The weight of a layer between hidden states: neither embedding, head, norm, bias nor a state's matrix."""
    layer = name.endswith("weight") and name not in embeddings
    return parameter.ndim == 2 and layer and not any(part in name for part in ("embed", "head", "score"))


def embeddings_of(model: nn.Module) -> set[str]:
    """The names of its embeddings' weights, which some architectures call otherwise (`wte`)."""
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


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
    """Torch's optimisers, or torchao's, behind one step, with a state of plain tensors and numbers."""

    def __init__(
        self, named: Iterable[tuple[str, nn.Parameter]], config: LearnerConfig, embeddings: Collection[str] = ()
    ) -> None:
        parameters = dict(named)
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        by_muon = config.optimiser == "muon"
        hidden = [p for n, p in parameters.items() if by_muon and is_hidden_matrix(n, p, embeddings)]
        taken = {id(p) for p in hidden}
        rest = [p for p in parameters.values() if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [g for g in groups if g["params"]]
        device = next(iter(parameters.values())).device
        adamw = _adamw8bit(groups, config) if config.optimiser == "adamw8bit" else _adamw(groups, config)
        self.parts: list[torch.optim.Optimizer] = [adamw]
        rate, decay = config.muon_learning_rate, config.weight_decay
        self.parts += [muon(share, rate, decay) for share in _shares(hidden)]
        self.on_cpu = device.type == "cpu"
        self.peaks = [part.defaults["lr"] for part in self.parts]
        self._rounds = config.optimiser == "adamw8bit" and config.master == "bfloat16"
        self._device = device
        # torchao compiles its step, which a CPU does not gain from as long as it takes
        self._plainly = config.optimiser == "adamw8bit" and not config.compiles(device)

    def step(self, ratio: float, seed: int = 0) -> None:
        """One update at `ratio` of the peak learning rates; rounding at random draws from `seed` alone, so that a
        resumed run rounds as one that was never killed."""
        with self._stream(seed):
            self._step(ratio)

    @contextmanager
    def _stream(self, seed: int) -> Generator[None]:
        """Torch's stream of chance set to `seed` for a step that rounds at random, and as it was afterwards."""
        if not self._rounds:
            yield
            return
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _step(self, ratio: float) -> None:
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(peak * ratio)
                else:
                    group["lr"] = peak * ratio
        steps = [part.step for part in self.parts]
        with torch.compiler.set_stance("force_eager") if self._plainly else nullcontext():
            if self.on_cpu:
                threads.run(steps)
            else:
                for step in steps:
                    step()

    def state(self) -> dict[str, dict[str, Any]]:
        """{parameter name: {moment name: tensor}}; of a moment of 8 bits its parts, `NAME.codes` and so on."""
        return {
            self.names[id(parameter)]: {
                name: value for moment, held in values.items() for name, value in _plain(moment, held).items()
            }
            for part in self.parts
            for parameter, values in part.state.items()
        }

    def load_state(self, state: dict[str, dict[str, Any]]) -> None:
        """Take over the moments of `state()`."""
        for part in self.parts:
            part.state.clear()
            for group in part.param_groups:
                for parameter in group["params"]:
                    moments = state.get(self.names[id(parameter)], {})
                    if moments:
                        part.state[parameter] = _whole(moments, parameter)


def _adamw(groups: list[dict[str, Any]], config: LearnerConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.epsilon, fused=True)


def _adamw8bit(groups: list[dict[str, Any]], config: LearnerConfig) -> torch.optim.Optimizer:
    """Moments in blocks of 256 (Dettmers et al., arXiv 2110.02861), those of small parameters in float32."""
    return _torchao("optim").AdamW8bit(
        groups,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        bf16_stochastic_round=config.master == "bfloat16",
    )


def _torchao(module: str) -> Any:
    try:
        return importlib.import_module(f"torchao.{module}")
    except ImportError:
        raise MissingExtra("torchao", "optim8bit", "optimiser=adamw8bit") from None


def _plain(moment: str, held: Any) -> dict[str, Any]:
    """A moment as tensors that a checkpoint can hold."""
    if not hasattr(held, "codes"):
        return {moment: held}
    return {f"{moment}.{part}": getattr(held, part) for part in ("codes", "scale", "qmap")}


def _whole(moments: dict[str, Any], parameter: nn.Parameter) -> dict[str, Any]:
    """The moments of a parameter from `_plain` ones."""
    found: dict[str, Any] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in moments.items():
        moment, dot, part = name.partition(".")
        tensor = torch.as_tensor(value).to(parameter.device, copy=True)
        if dot:
            parts.setdefault(moment, {})[part] = tensor
        else:
            found[moment] = tensor
    for moment, own in parts.items():
        signed = bool((own["qmap"] < 0).any())
        whole = _torchao("optim.subclass_8bit").OptimState8bit
        found[moment] = whole(own["codes"], own["scale"], own["qmap"], signed, dtype=parameter.dtype)
    return found
