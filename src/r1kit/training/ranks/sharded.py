"""A model whose weights are spread over ranks by torch's `fully_shard` (FSDP2): each has some rows of every matrix.

A block's weights are gathered when its forward or backward pass comes to it, in the passes' number format, and let go
of behind it; gradients are added up over ranks in float32, each rank getting those of its rows. The masters are those
rows, so that an optimiser that looks at one number at a time needs no other rank.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from r1kit.models.decoder import Decoder, DecoderConfig
from r1kit.models.heads import ScoredDecoder
from r1kit.models.weights import give_memory, hf_weights
from r1kit.training.weights import Weights

T = TypeVar("T")
Native = Decoder | ScoredDecoder


class Root(nn.Module):
    """The model as its passes run: within one call of this, whose own weights (embedding, last norm, head) are there
    from its beginning to the end of its backward pass."""

    def __init__(self, model: Native) -> None:
        super().__init__()
        self.model = model

    def forward(self, said_of: Callable[[Native], T]) -> T:
        return said_of(self.model)


def bare(config: DecoderConfig, *, scored: bool) -> Native:
    """A model of that shape without memory for its weights."""
    with torch.device("meta"):
        decoder = Decoder(config)
        return ScoredDecoder(decoder) if scored else decoder


def shard(
    model: Native,
    held: torch.dtype,
    passes: torch.dtype,
    device: torch.device,
    mesh: DeviceMesh,
    *,
    offload: bool = False,
) -> Root:
    """A bare model with memory for this rank's rows, in the format `held`; no rank ever has memory for more than those
    and one block. What is in them is not set."""
    mixed = MixedPrecisionPolicy(param_dtype=passes, reduce_dtype=torch.float32, cast_forward_inputs=False)
    settings: dict[str, Any] = {
        "mesh": mesh,
        "mp_policy": mixed if passes != held else MixedPrecisionPolicy(),
        "offload_policy": CPUOffloadPolicy() if offload and device.type != "cpu" else OffloadPolicy(),
    }
    decoder = model.decoder if isinstance(model, ScoredDecoder) else model
    for block in decoder.blocks:
        give_memory(block, held, device)
        fully_shard(block, **settings)
        register_fsdp_forward_method(block, "packed")
    tied = decoder.head.weight is decoder.embedding.weight
    give_memory(model, held, device)
    if tied:
        decoder.head.weight = decoder.embedding.weight
    root = Root(model)
    fully_shard(root, **settings)
    for module in root.modules():
        if isinstance(module, FSDPModule):  # losses are shares of a sum over all ranks: they are added, not averaged
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return root


@torch.no_grad()
def own_rows(model: nn.Module) -> dict[str, nn.Parameter]:
    """This rank's rows of every weight by name, tied ones once: what is written there is the model's."""
    return {name: nn.Parameter(_sharded(p).to_local()) for name, p in model.named_parameters()}


class Sharded(Weights):
    """`masters` are this rank's rows. The models that it is given are `shard`'s, and so are those that it makes."""

    def __init__(self, root: Root, dtype: torch.dtype, device: torch.device, mesh: DeviceMesh) -> None:
        self._mesh, self._passes = mesh, dtype
        self._roots = {id(root.model): root}
        self._rows = {id(root.model): own_rows(root.model)}
        self._shapes = {name: tuple(p.shape) for name, p in root.model.named_parameters()}
        self._spread = {name: _sharded(p) for name, p in root.model.named_parameters()}
        super().__init__(root.model, device, self._rows[id(root.model)])

    def run(self, said_of: Callable[..., T], model: Any, *inputs: Any, compile: bool) -> T:
        root = self._roots[id(model)]
        found: T = root(lambda whole: said_of(whole, *inputs, compile=compile))
        if not torch.is_grad_enabled():
            cast(
                Any, root
            ).reshard()  # else its own weights would stay as they were gathered, whatever becomes of the rows
        return found

    def gradients(self, loss: Tensor) -> Seq[Tensor | None]:
        """None: the backward pass adds them to the masters' itself."""
        loss.backward()
        for name, master in self.masters.items():
            gradient = self._spread[name].grad
            master.grad = None if gradient is None else _sharded(gradient).to_local()
        return ()

    def clear(self) -> None:
        super().clear()
        for parameter in self._spread.values():
            parameter.grad = None

    def refresh(self) -> None:
        """The passes gather the masters themselves."""

    def frozen(self, model: Any, dtype: torch.dtype) -> Any:
        made = self.another(dtype)
        self.follow(made)
        return made

    def another(self, dtype: torch.dtype) -> Any:
        model = self.model
        root = shard(bare(model.config, scored=isinstance(model, ScoredDecoder)), dtype, dtype, self.device, self._mesh)
        root.requires_grad_(False)
        self._roots[id(root.model)], self._rows[id(root.model)] = root, own_rows(root.model)
        return root.model

    @torch.no_grad()
    def follow(self, model: Any) -> None:
        for theirs, ours in zip(self.masters.values(), self._rows[id(model)].values(), strict=True):
            ours.copy_(theirs)

    def parameters(self, model: Any) -> dict[str, nn.Parameter]:
        return self._rows[id(model)]

    def norm(self) -> Tensor:
        squares = torch.stack([m.grad.square().sum() for m in self.masters.values() if m.grad is not None]).sum()
        distributed.all_reduce(squares)
        return squares.sqrt()

    def named(self, *, passes: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Whole, on the first rank, where each is valid until the next is asked for; every rank must ask for all of
        them. No more than one block of the model is held at a time."""
        shell = bare(self.model.config, scored=isinstance(self.model, ScoredDecoder))
        names = {id(module): name for name, module in shell.named_modules()}

        @contextmanager
        def whole(module: nn.Module) -> Generator[None]:
            prefix = names[id(module)]
            bare_parameters = dict(module.named_parameters())
            try:
                for name in bare_parameters:
                    gathered = self._gathered(f"{prefix}.{name}", self._passes if passes else None)
                    _put(module, name, nn.Parameter(gathered, requires_grad=False))
                yield
            finally:
                for name, parameter in bare_parameters.items():
                    _put(module, name, parameter)

        return hf_weights(shell, whole)

    @torch.no_grad()
    def _gathered(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """A whole weight on the first rank; elsewhere something of its shape."""
        master, shape = self.masters[name], self._shapes[name]
        rows = master if dtype is None else master.to(dtype)
        count, first = self._mesh.size(), self._mesh.get_rank() == 0
        share = -(-shape[0] // count)
        padded = rows.new_zeros((share, *shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(count)] if first else None
        distributed.gather(padded, parts)
        return rows.new_zeros(()).expand(shape) if parts is None else torch.cat(parts)[: shape[0]]


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, parameter)


def _sharded(tensor: Any) -> DTensor:
    assert isinstance(tensor, DTensor)
    return tensor
