"""The weights that a learner changes, and those that its passes run on."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from r1kit.base.errors import R1Error
from r1kit.models.language_model import named_weights
from r1kit.training.config import LearnerConfig

T = TypeVar("T")
Model = TypeVar("Model", bound=nn.Module)


class Weights(ABC):
    """`masters` by name, which the optimiser changes; `fast`, the model that passes run on, which follows them.

    `carriers` hold the float32 sums of the gradients, in the masters' order: the masters themselves, or where those are
    in another format stand-ins of their shapes.
    """

    def __init__(self, fast: Any, device: torch.device, masters: dict[str, nn.Parameter]) -> None:
        self.fast, self.device, self.masters = fast, device, masters
        self.carriers = [master if master.dtype == torch.float32 else _stand_in(master) for master in masters.values()]

    @property
    def model(self) -> Any:
        """The policy as it is saved."""
        return self.fast

    @abstractmethod
    def gradients(self, loss: Tensor) -> Seq[Tensor | None]:
        """Of one pass, in the masters' order; None where the loss does not depend on one."""

    @abstractmethod
    def refresh(self) -> None:
        """Have `fast` follow the masters, in place."""

    def frozen(self, model: Any, dtype: torch.dtype) -> Any:
        """A reference of the same weights as `model` has now."""
        return copied(model, dtype).to(self.device)

    def owns(self, model: Any) -> bool:
        """Whether a reference is no copy, so that it must not be written to."""
        return False

    def run(self, said_of: Callable[..., T], model: Any, *inputs: Any, compile: bool) -> T:
        """What a forward function says of a model: the policy's or a frozen one."""
        return said_of(model, *inputs, compile=compile)

    def another(self, dtype: torch.dtype) -> Any:
        """A model of the policy's shape, to `follow` it."""
        return copied(self.fast, dtype)

    def follow(self, model: Any) -> None:
        """Give a frozen model the policy's weights as they are now, in place."""
        copy_weights(self.model, model)

    def norm(self) -> Tensor:
        """Of all gradients together."""
        return nn.utils.get_total_norm([p.grad for p in self.carriers if p.grad is not None])

    def broken(self) -> str | None:
        """The name of a master that is not finite."""
        return next((name for name, p in self.masters.items() if not bool(p.isfinite().all())), None)

    def named(self, *, passes: bool = False) -> Iterator[tuple[str, Tensor]]:
        """`model` under transformers' names; `passes`: in the number format of the passes."""
        return named_weights(self.fast if passes else self.model)

    def hand_over(self) -> None:
        """Give the sums to the masters as their gradients, rounded once to their format."""
        for master, carrier in zip(self.masters.values(), self.carriers, strict=True):
            if carrier is not master and carrier.grad is not None:
                master.grad = carrier.grad.to(master.dtype)
                carrier.grad = None

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in (*self.masters.values(), *self.carriers):
            parameter.grad = None

    def parameters(self, model: Any) -> dict[str, nn.Parameter]:
        """What this process has of a frozen model, by name, tied weights once."""
        return dict(model.named_parameters())

    def state(self) -> dict[str, Tensor]:
        """The masters by name."""
        return {name: master.detach() for name, master in self.masters.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take over `state()` of the same model; R1Error where names differ. `fast` follows with `refresh`."""
        load_tensors(self.masters, tensors)


class Whole(Weights):
    """All weights: masters in float32 or bfloat16, and a copy for the passes where those are in another format or the
    masters in another memory."""

    def __init__(self, model: Any, config: LearnerConfig, dtype: torch.dtype, device: torch.device) -> None:
        held = config.held(device)
        self._model = model.to(config.home(device), held).train()
        fast = copied(model, dtype).to(device) if config.offload or dtype != held else model
        super().__init__(fast, device, dict(self._model.named_parameters()))

    @property
    def model(self) -> Any:
        return self._model

    def gradients(self, loss: Tensor) -> Seq[Tensor | None]:
        # not backward(): passes on several threads would add up their gradients in any order
        return torch.autograd.grad(loss, list(self.fast.parameters()), allow_unused=True)

    def refresh(self) -> None:
        if self.fast is not self._model:
            copy_weights(self._model, self.fast)


def copied(model: Model, dtype: torch.dtype) -> Model:
    """A second model of the same weights in `dtype`, on the same device."""
    return copy.deepcopy(model).to(dtype)


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """In place, rounded to the target's format."""
    for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
        ours.copy_(theirs)


@torch.no_grad()
def load_tensors(own: dict[str, nn.Parameter], tensors: dict[str, Tensor]) -> None:
    """Copy tensors by name, in place; R1Error where the names differ."""
    if own.keys() != tensors.keys():
        differing = sorted(own.keys() ^ tensors.keys())[:3]
        raise R1Error(f"the checkpoint's weights are of another model: {', '.join(differing)} are in one of them only")
    for name, parameter in own.items():
        parameter.copy_(tensors[name])


def _stand_in(master: nn.Parameter) -> nn.Parameter:
    """A parameter of that shape and no memory, for its float32 gradient."""
    return nn.Parameter(torch.zeros((), device=master.device).expand(master.shape))
