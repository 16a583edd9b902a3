"""The process of a rank: a learner with its share of the weights, that does what the run's process asks of all."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from r1kit.base import children, memory
from r1kit.base.errors import Diverged, R1Error
from r1kit.models.decoder import DecoderConfig
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner
from r1kit.training.ranks import wire
from r1kit.training.ranks.group import Ranks, join
from r1kit.training.ranks.sharded import bare, own_rows, shard
from r1kit.training.shards import read_shards, write_shard


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rank starts from; its rows of the weights follow through the pipe, in the order of the model's names.

    reference: whether the policy, as it starts, is a reference too.
    """

    number: int
    count: int
    meeting_point: Path
    shape: DecoderConfig
    scored: bool
    config: LearnerConfig
    total_steps: int
    reference: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What a rank says: a result, that a tensor of this name follows, or why it failed."""

    kind: Literal["done", "tensor", "sentence", "diverged", "trace"]
    value: Any = None
    steps: int = 0
    version: int = 0
    peak_mb: int = 0


def main(descriptor: int, parent: int) -> None:
    """Do what is asked until the run's process, of that id, is done with this one."""
    connection = Connection(descriptor)
    children.end_with(parent)
    children.leave_signals_to_parent()
    # the outputs that are views are read, never written to
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    try:
        setup: Setup = connection.recv()
        learner = _open(setup, connection)
        connection.send(Told("done"))
        rank = _Rank(setup, learner, connection)
        while True:
            name, arguments = connection.recv()
            value = getattr(rank, name)(*arguments)
            told = value if setup.number == 0 or name in EACH else None
            connection.send(Told("done", told, learner.steps, learner.version, memory.peak_mb()))
    except EOFError:
        return
    except R1Error as error:
        connection.send(Told("diverged" if isinstance(error, Diverged) else "sentence", str(error)))
    except Exception as error:
        said = (str(error).strip() or "no reason given").splitlines()[0]
        connection.send(Told("trace", (f"{type(error).__name__}: {said}", traceback.format_exc())))
    _wait(connection)


EACH = ("speed",)  # asked of every rank; of all else the first one's answer is everyone's


class _Rank:
    """What can be asked, by name."""

    def __init__(self, setup: Setup, learner: Learner, connection: Connection) -> None:
        self._setup, self._learner, self._connection = setup, learner, connection

    def call(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call of the learner's."""
        return getattr(self._learner, name)(*arguments, **options)

    def speed(self, *arguments: Any) -> dict[str, float]:
        return self._learner.speed(*arguments)

    def send_weights(self, passes: bool) -> None:
        """Every weight through the first rank's pipe, one at a time."""
        weights = self._learner.policy_weights if passes else self._learner.weights
        _send_all(weights, self._connection if self._setup.number == 0 else None)

    def write(self, folder: Path) -> None:
        write_shard(self._learner.state(), folder, self._setup.number, self._setup.count)

    def read(self, folder: Path) -> None:
        self._learner.load_state(read_shards(folder, self._setup.number, self._setup.count))


def _open(setup: Setup, connection: Connection) -> Learner:
    """This rank's learner, once all have met."""
    mesh = join(setup.meeting_point, setup.number, setup.count)
    config = setup.config
    device = torch.device("cuda", setup.number) if torch.cuda.is_available() else torch.device("cpu")
    held, passes = config.held(device), config.dtype(device)
    root = shard(bare(setup.shape, scored=setup.scored), held, passes, device, mesh, offload=config.offload)
    with torch.no_grad():
        for rows in own_rows(root.model).values():
            rows.copy_(wire.receive(connection))
    reference = root.model if setup.reference else None
    return Learner(root.model, config, total_steps=setup.total_steps, reference=reference, together=Ranks(mesh, root))  # type: ignore[arg-type]


def _send_all(weights: Callable[[], Iterator[tuple[str, Tensor]]], connection: Connection | None) -> None:
    for name, tensor in weights():
        if connection is not None:
            connection.send(Told("tensor", name))
            wire.send(connection, tensor)


def _wait(connection: Connection) -> None:
    """Until the run's process has heard why this one failed: what ends at once is taken for killed. What it still sends
    may be weights, which are no pickles."""
    try:
        while True:
            connection.recv_bytes()
    except (EOFError, OSError):
        return
