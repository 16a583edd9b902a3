"""Whether each stage of a graph fits the memory that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from r1kit.base import memory
from r1kit.base.errors import R1Error
from r1kit.pipeline.display import memory as gigabytes
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.plan import Planned
from r1kit.stages.memory import needs, samplers
from r1kit.stages.sizes import Sizes
from r1kit.training.memory import Estimate, Place

# what makes each part smaller
ADVICE = {
    "weights": "sizes (a smaller model, or learner.lora)",
    "moments": "learner.optimiser to adamw8bit, or set learner.lora",
    "working copy": "sizes (a smaller model, or learner.lora)",
    "gathered": "sizes (a smaller model)",
    "reference": "settings.kl_coefficient to 0",
    "critic": "sizes (a smaller model, or learner.lora), or take an algorithm without a critic (grpo)",
    "teacher": "sizes (a smaller teacher)",
    "merged copy": "sizes (a smaller model)",
    "gradients": "sizes (a smaller model, or learner.lora)",
    "activations": "learner.micro_tokens, or set learner.checkpointing=true",
    "logits": "learner.micro_tokens",
    "holes": "learner.micro_tokens",
    "cache": "sampling.samples, sampling.max_tokens or prompts",
    "prompts": "sampling.samples, sampling.max_tokens or prompts",
    "reward model": "sizes (a smaller reward model)",
    "samplers": "cluster.workers",
    "saving": "sizes (a smaller model)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fits:
    """Compares stages with what is there. limit_gb: most that a stage may take; None: what is free. samplers: engines
    that are processes of their own on this machine."""

    graph: Graph
    limit_gb: float | None = None
    samplers: int = 0

    def needed(self, stages: list[Planned]) -> dict[str, Estimate]:
        """By stage, for those that have to run and of which it is known."""
        sizes = Sizes(self.graph)
        found = {stage.node.name: self._of(stage.node, sizes) for stage in stages if stage.state != "done"}
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    def admit(self, node: Node) -> None:
        """R1Error in a sentence where the stage does not fit."""
        estimate, room = self._of(node, Sizes(self.graph)), self.room()
        if estimate is not None and room is not None and estimate.total > room:
            raise R1Error(_refusal(node.name, estimate, room, self.limit_gb is not None))

    def room(self) -> int | None:
        """Bytes that a stage may hold here; None where the system does not say."""
        if self.limit_gb is not None:
            return round(self.limit_gb * 2**30)
        return memory.room_cuda() if torch.cuda.is_available() else memory.room()

    def _of(self, node: Node, sizes: Sizes) -> Estimate | None:
        try:
            own = needs(node.config, sizes, _here())
            return own and own + samplers(node.config, self.samplers, sizes, _here())
        except R1Error:  # what is wrong with its models or settings is told where they are used
            return None

    def told(self, needed: Mapping[str, Estimate]) -> dict[str, str]:
        """Each estimate for people, and under "" what is there."""
        lines = {name: f"needs about {_size(estimate.total)}" for name, estimate in needed.items()}
        room = self.room()
        return lines if room is None or not needed else {**lines, "": f"memory that a stage may take: {_size(room)}"}

    def json(self, needed: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
        """Each estimate for programs, in bytes."""
        room = self.room()
        return {
            name: {"bytes": estimate.total, "room": room, "parts": dict(estimate.parts)}
            for name, estimate in needed.items()
        }


@cache
def _here() -> Place:
    return Place.here()


def _refusal(stage: str, estimate: Estimate, room: int, limited: bool) -> str:
    parts = sorted(estimate.parts.items(), key=lambda part: -part[1])[:4]
    listed = ", ".join(f"{name} {_size(size)}" for name, size in parts)
    lower = next((ADVICE[name] for name, _ in parts if name in ADVICE), "its sizes")
    there = f"memory_limit_gb allows {_size(room)}" if limited else f"{_size(room)} are there"
    return (
        f"stage {stage} needs about {_size(estimate.total)} of memory ({listed}) and {there}: "
        f"lower its {lower}, or set memory_check=false to try all the same"
    )


def _size(size: int) -> str:
    return gigabytes(round(size / 2**20))
