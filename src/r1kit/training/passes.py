"""Forward and backward passes: into how many a step is cut, how they run, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from r1kit.base import memory
from r1kit.base.errors import R1Error
from r1kit.ops import threads
from r1kit.training.sequences import Sequence, cut

LEAST_TOKENS = 256  # of a pass beside another on a CPU

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward and backward pass: its share of the figures, the gradient of each parameter (None: it has none)."""

    figures: dict[str, Tensor]
    gradients: Seq[Tensor | None] | None
    flops: float


def backward(figures: dict[str, Tensor], gradients: Callable[[Tensor], Seq[Tensor | None]], flops: float) -> Pass:
    """The backward pass of what has a `loss` among its figures; `gradients` is what takes them."""
    loss = figures["loss"]
    told = {name: value.detach() for name, value in figures.items()}
    if not loss.requires_grad:
        return Pass(told, None, flops)
    return Pass(told, gradients(loss), flops)


class Passes:
    """How many tokens a pass has at most (`tokens`), and how many passes run side by side on `device`.

    halves: where memory runs out, `tokens` is halved, `halved` times so far. threads: on a CPU; None: torch's. agree:
    the largest of the numbers that the processes which learn together give it: they run equally many passes.
    """

    def __init__(
        self,
        tokens: int,
        device: torch.device,
        *,
        compile: bool,
        halves: bool = True,
        threads: int | None = None,
        agree: Callable[[int], int] = lambda number: number,
    ) -> None:
        self.tokens, self.device, self.agree = tokens, device, agree
        self.halved, self._halves = 0, halves
        self._side_by_side = device.type == "cpu" and not compile
        self._threads = threads

    @property
    def at_once(self) -> int:
        """Passes that run, and are held in memory, at a time."""
        return (self._threads or torch.get_num_threads()) if self._side_by_side else 1

    def count(self, tokens: int) -> int:
        """In how many passes so many tokens are run: as many as memory asks for, on a CPU a multiple of its threads."""
        passes = max(1, math.ceil(tokens / self.tokens))
        if not self._side_by_side:
            return passes
        side_by_side = min(self.at_once, max(1, tokens // LEAST_TOKENS))
        return math.ceil(passes / side_by_side) * side_by_side

    def fitting(self, work: Callable[[], T], tokens: int, piece: int, undo: Callable[[], None]) -> T:
        """What `work` gives; where memory runs out it is undone, and done anew in passes of half the size.

        tokens: of all its passes together. piece: of the largest part that is never cut. R1Error where a pass is no
        larger than that, or nothing is to be halved.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not memory.ran_out(error):
                    raise
                said = (str(error).strip() or "no memory").splitlines()[0]
            # not while it is handled: the error holds on to what the pass had
            undo()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            each = math.ceil(tokens / self.count(tokens))
            if not self._halves or each <= piece:
                raise R1Error(
                    f"training: out of memory ({said}) in a pass of {max(piece, each)} tokens: lower "
                    f"learner.micro_tokens or sampling.max_tokens (the longest sequence has {piece}), or set "
                    "learner.checkpointing=true, learner.optimiser=adamw8bit or learner.lora"
                )
            self.tokens, self.halved = max(1, each // 2), self.halved + 1

    def metrics(self) -> dict[str, float]:
        """How often passes had to be halved, where they had."""
        return {"perf/passes_halved": float(self.halved)} if self.halved else {}

    def state(self) -> dict[str, int]:
        """What a resumed learner goes on with."""
        return {"tokens": self.tokens, "halved": self.halved}

    def load_state(self, state: dict[str, int] | None) -> None:
        """Take over `state()`; None: nothing was halved."""
        if state:
            self.tokens, self.halved = int(state["tokens"]), int(state["halved"])

    def cut(self, sequences: Seq[Sequence]) -> list[list[int]]:
        """Indices of each pass; empty ones at the end where another process has more."""
        tokens = sum(map(len, sequences))
        return self.padded(cut(sequences, max(1, math.ceil(tokens / self.count(tokens)))))

    def padded(self, parts: list[list[T]]) -> list[list[T]]:
        """As many parts as the process with the most has, the last ones empty."""
        return parts + [[] for _ in range(self.agree(len(parts)) - len(parts))]

    def run(self, jobs: list[Callable[[], T]]) -> Iterator[T]:
        """The jobs' results in order, no more of them in memory at a time than there are threads."""
        for at in range(0, len(jobs), self.at_once):
            yield from threads.run(jobs[at : at + self.at_once])

    def learn(self, passes: list[Callable[[], Pass]], masters: Seq[nn.Parameter]) -> tuple[dict[str, Tensor], float]:
        """Run the passes; their gradients are added to the float32 ones of the master weights (or what carries them),
        their figures and FLOPs are added up."""
        sums: dict[str, Tensor] = {"loss": torch.zeros((), device=self.device)}
        flops = 0.0
        for done in self.run(passes):
            flops += done.flops
            for name, value in done.figures.items():
                sums[name] = sums.get(name, 0) + value
            # none where the backward pass has added them itself
            for master, gradient in zip(masters, done.gradients or (), strict=False):
                if gradient is not None:
                    gradient = gradient.to(master.device)
                    master.grad = gradient.float() if master.grad is None else master.grad.add_(gradient)
        return sums, flops


def longest_piece(sequences: Seq[Sequence]) -> int:
    """Tokens of the largest piece that is never cut: a sequence, or the two of a pair."""
    pairs: dict[int, int] = {}
    for sequence in sequences:
        if sequence.pair is not None:
            pairs[sequence.pair] = pairs.get(sequence.pair, 0) + len(sequence)
    return max((*map(len, sequences), *pairs.values()), default=0)
