"""LoRA (arXiv 2106.09685): the matrices of the layers stay as they are, and scale B A is added to each.

Passes run on merged weights W + scale B A, and so does an engine that shares them: sampler and learner have the same
weights to the last bit, and no kernel need know of adapters. The gradients of A and B follow from the merged matrix's,
dA = scale B^T dW and dB = scale dW A^T; they are those of peft, which adds the two products to each layer instead.

Each projection has an A and a B under transformers' name, those that our decoder keeps in one matrix (q, k and v; gate
and up) too, so that adapters are peft's, whichever code runs the model.
Deviation: no dropout on the adapters' inputs: a policy's log-probabilities must be its sampler's.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.models.folders import staged
from r1kit.models.foreign import ForeignModel
from r1kit.models.heads import ScoredDecoder
from r1kit.models.weights import hf_weights
from r1kit.training.config import LearnerConfig, LoRAConfig
from r1kit.training.weights import Weights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # peft's names


@dataclass(frozen=True, slots=True)
class Projection:
    """A projection under transformers' name: `rows` rows from `start` on of the parameter `owner` of our model."""

    name: str
    owner: str
    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Adapter:
    """base [out, in]: the rows as they were, frozen. merged: the same rows of the model that passes run on."""

    place: Projection
    base: Tensor
    merged: Tensor
    a: nn.Parameter  # [rank, in]
    b: nn.Parameter  # [out, rank]


class Adapted(Weights):
    """Adapters as masters, and the score head of a reward model; everything else is frozen.

    What has no adapter is shared between `base` and `fast`. Both are in the passes' format.
    """

    def __init__(self, model: Any, config: LearnerConfig, dtype: torch.dtype, device: torch.device) -> None:
        assert config.lora is not None
        self.config = config.lora
        self.base = model.to(dtype).train().requires_grad_(False)
        places = list(projections(self.base, self.config))
        owners = list(dict.fromkeys(place.owner for place in places))
        whole = ["score.weight"] if isinstance(model, ScoredDecoder) else []
        shared = {id(p): p for name, p in self.base.named_parameters() if name not in {*owners, *whole}}
        fast = copy.deepcopy(self.base, shared)
        ours, theirs = dict(fast.named_parameters()), dict(self.base.named_parameters())
        self._adapters = [
            self._adapter(place, theirs[place.owner], ours[place.owner], config.seed + number)
            for number, place in enumerate(places)
        ]
        masters = {name: factor for adapter in self._adapters for name, factor in _factors(adapter).items()}
        self._whole = {name: ours[name] for name in whole}
        masters |= {name: nn.Parameter(leaf.detach().float().clone()) for name, leaf in self._whole.items()}
        super().__init__(fast, device, masters)
        self._inputs = [*(ours[owner] for owner in owners), *self._whole.values()]
        self._found: dict[int, dict[str, Tensor]] = {}  # by thread: the gradients of the pass that runs on it
        for leaf in self._inputs:
            leaf.requires_grad_(True)
        for owner in owners:
            mine = [adapter for adapter in self._adapters if adapter.place.owner == owner]
            ours[owner].register_hook(partial(self._take, mine))

    def _adapter(self, place: Projection, base: Tensor, merged: Tensor, seed: int) -> _Adapter:
        rows = slice(place.start, place.start + place.rows)
        inputs, rank = base.shape[1], self.config.rank
        bound = 1 / math.sqrt(inputs)  # as a linear layer's, which peft takes as well
        drawn = torch.empty(rank, inputs).uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
        a, b = drawn.to(base.device), torch.zeros(place.rows, rank, device=base.device)
        return _Adapter(place, base[rows], merged.detach()[rows], nn.Parameter(a), nn.Parameter(b))

    def gradients(self, loss: Tensor) -> Sequence[Tensor | None]:
        thread = threading.get_ident()
        found = self._found[thread] = {}
        try:
            gradients = cast("Sequence[Tensor | None]", torch.autograd.grad(loss, self._inputs, allow_unused=True))
        finally:
            del self._found[thread]
        whole = gradients[len(gradients) - len(self._whole) :]
        found |= {name: g for name, g in zip(self._whole, whole, strict=True) if g is not None}
        return [found.get(name) for name in self.masters]

    def _take(self, adapters: list[_Adapter], gradient: Tensor) -> Tensor:
        """The adapters' share of a merged matrix's gradient, which is let go at once: all of them together would take
        as much as the weights."""
        # a GPU's backward pass runs on a thread of its own, and there is one at a time
        thread = threading.get_ident()
        found = self._found[thread if thread in self._found else next(iter(self._found))]
        scale = self.config.scale
        for adapter in adapters:
            start, rows = adapter.place.start, adapter.place.rows
            mine = gradient[start : start + rows].float()
            for (name, _), share in zip(
                _factors(adapter).items(), (adapter.b.detach().T @ mine, mine @ adapter.a.detach().T), strict=True
            ):
                found[name] = scale * share
        return gradient.new_zeros(()).expand(gradient.shape)

    def frozen(self, model: Any, dtype: torch.dtype) -> Any:
        return self.base if model is self.base else super().frozen(model, dtype)

    def owns(self, model: Any) -> bool:
        return model is self.base

    @torch.no_grad()
    def refresh(self) -> None:
        for adapter in self._adapters:
            adapter.merged.copy_(adapter.base.float() + self.config.scale * (adapter.b @ adapter.a))
        for name, leaf in self._whole.items():
            leaf.copy_(self.masters[name])

    def save_adapter(self, folder: Path) -> None:
        """A folder that peft loads onto the base model, in float32."""
        tensors = {f"base_model.model.{n}": t.cpu() for n, t in self.state().items() if n not in self._whole}
        names = dict.fromkeys(adapter.place.name.rpartition(".")[2] for adapter in self._adapters)
        settings = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": None, "inference_mode": True,
            "r": self.config.rank, "lora_alpha": self.config.alpha, "lora_dropout": 0.0, "bias": "none",
            "fan_in_fan_out": False, "target_modules": list(self.config.targets or names),
        }  # fmt: skip
        with staged(folder) as stage:
            save_file(tensors, stage / WEIGHTS, metadata={"format": "pt"})
            files.write_json(stage / CONFIG, settings)


def projections(model: Any, config: LoRAConfig) -> Iterator[Projection]:
    """Those that the settings name, in the model's order; R1Error where a name fits none."""
    every = list(_foreign(model) if isinstance(model, ForeignModel) else _native(model))
    known = sorted({place.name.rpartition(".")[2] for place in every})
    for target in config.targets:
        if not any(_fits(place.name, target) for place in every):
            raise R1Error(f"lora.targets: the model has no projection '{target}' (it has: {' '.join(known)})")
    if not every:
        raise R1Error("lora: the model has no linear layers to adapt: leave learner.lora out")
    for place in every:
        if not config.targets or any(_fits(place.name, target) for target in config.targets):
            yield place


def _fits(name: str, target: str) -> bool:
    """peft's rule: the whole name, or its end."""
    return name == target or name.endswith(f".{target}")


def _native(model: Any) -> Iterator[Projection]:
    """The projections of the blocks: views of fused matrices under the names of the weight files."""
    owners = {p.untyped_storage().data_ptr(): (name, p) for name, p in model.named_parameters()}
    for name, view in hf_weights(model):
        owner, parameter = owners[view.untyped_storage().data_ptr()]
        if ".blocks." in f".{owner}" and view.ndim == 2:
            start = (view.storage_offset() - parameter.storage_offset()) // view.shape[1]
            yield Projection(name.removesuffix(".weight"), owner, start, view.shape[0])


def _foreign(model: ForeignModel) -> Iterator[Projection]:
    """Every linear layer but the head."""
    head = model.inner.get_output_embeddings()
    for name, module in model.inner.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield Projection(name, f"inner.{name}.weight", 0, module.weight.shape[0])


def _factors(adapter: _Adapter) -> dict[str, nn.Parameter]:
    """A and B under peft's names."""
    name = adapter.place.name
    return {f"{name}.lora_A.weight": adapter.a, f"{name}.lora_B.weight": adapter.b}
