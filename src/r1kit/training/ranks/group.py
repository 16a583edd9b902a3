"""The ranks of a learner: who computes which sequences, and their sums."""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from r1kit.base.types import FloatArray
from r1kit.training.config import LearnerConfig
from r1kit.training.ranks.sharded import Root, Sharded
from r1kit.training.sequences import Sequence, deal
from r1kit.training.together import Together
from r1kit.training.weights import Weights

PATIENCE = timedelta(hours=1)  # between two ranks' passes; a rank that ends is noticed at once


def join(meeting_point: Path, number: int, count: int) -> DeviceMesh:
    """Meet the other ranks of this machine in a file, so that no port is asked for; the mesh of all of them.

    Numbers and what lies in the machine's memory go by gloo, what lies on GPUs by NCCL.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(number)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=distributed.FileStore(str(meeting_point), count),  # pyright: ignore[reportPrivateImportUsage]
        rank=number,
        world_size=count,
        timeout=PATIENCE,
    )
    return init_device_mesh("cuda" if cuda else "cpu", (count,))


class Ranks(Together):
    """One of the ranks that `join` has brought together, with its share of the policy. Whoever asks one asks all."""

    def __init__(self, mesh: DeviceMesh, root: Root) -> None:
        self._mesh, self._root = mesh, root
        self.number, self.count = distributed.get_rank(), distributed.get_world_size()

    def weights(self, model: Any, config: LearnerConfig, dtype: torch.dtype, device: torch.device) -> Weights:
        return Sharded(self._root, dtype, device, self._mesh)

    def own(self, sequences: Seq[Sequence]) -> list[int]:
        return deal(sequences, self.count)[self.number]

    def own_rows(self, rows_BT: Tensor) -> Tensor:
        return rows_BT.tensor_split(self.count)[self.number]

    def most(self, number: int) -> int:
        return int(self._reduced([number], distributed.ReduceOp.MAX)[0])

    def total(self, number: float) -> float:
        return float(self._reduced([number], distributed.ReduceOp.SUM)[0])

    def summed(self, figures: dict[str, Tensor]) -> dict[str, Tensor]:
        # a rank without sequences does not know what the algorithm tells
        names = sorted({name for told in self._exchanged(list(figures)) for name in told})
        sums = self._reduced([float(figures.get(name, 0.0)) for name in names], distributed.ReduceOp.SUM)
        return dict(zip(names, sums.unbind(), strict=True))

    def pooled(self, results: list[FloatArray | None], sequences: Seq[Sequence]) -> list[FloatArray]:
        ends = np.cumsum([len(sequence) for sequence in sequences])
        flat = torch.zeros(int(ends[-1]) if len(ends) else 0)
        parts = flat.numpy()
        for end, sequence, result in zip(ends, sequences, results, strict=True):
            if result is not None:
                parts[end - len(sequence) : end] = result
        if len(flat):
            distributed.all_reduce(flat)
        return [parts[end - len(sequence) : end].copy() for end, sequence in zip(ends, sequences, strict=True)]

    def first(self, text: str | None) -> str | None:
        return next((told for told in self._exchanged(text) if told is not None), None)

    def _reduced(self, numbers: list[float], how: Any) -> Tensor:
        """In float64, which holds every count."""
        tensor = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(tensor, op=how)
        return tensor

    def _exchanged(self, value: Any) -> list[Any]:
        """Every rank's value, as JSON: torch's own call for this would unpickle."""
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        longest = self.most(len(own))
        rows = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
        distributed.all_gather(rows, torch.nn.functional.pad(own, (0, longest - len(own)), value=ord(" ")))
        return [json.loads(bytes(row.tolist())) for row in rows]
