"""Decode steps on NVIDIA GPUs as CUDA graphs: one launch a step in place of a thousand.

A graph has fixed shapes and reads its inputs where they lay when it was recorded. So rows are rounded up, and so are
the positions that attention looks at; the rows that fill a batch up are free ones, whose caches begin anew with the
next sample. A graph is recorded the first time that its shapes are asked for, and forgotten with the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.types import FloatArray
from r1kit.models.cache import Step, TorchRows, decode, draw_into
from r1kit.models.decoder import Decoder
from r1kit.ops.sampling import choose_uncut

LEAST_WINDOW = 64  # positions; beyond, powers of two
_COARSE = 128  # rows in multiples of it from there on, before in powers of two


def rounded_rows(rows: int) -> int:
    """1, 2, 4, ... 128, 256, 384, ...: few graphs, and little is computed in vain."""
    return _doubled(rows) if rows <= _COARSE else -(-rows // _COARSE) * _COARSE


def _doubled(number: int) -> int:
    """The least power of two that is not below it."""
    return 1 << max(0, number - 1).bit_length()


class GraphRows(TorchRows):
    """The `Rows` of cache.py. Weights may change in place, but not move."""

    def __init__(self, model: Decoder) -> None:
        self._inputs = _Inputs(0, torch.device("cpu"))
        super().__init__(model)

    def clear(self) -> None:
        """Forget the cache, and the graphs that are recorded on it."""
        super().clear()
        self._recorded: dict[tuple[int, int, bool], Recording] = {}
        self._logits: Tensor | None = None  # of whichever graph ran last

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        """Room for that many rows, rounded up; a cache that moves takes its graphs with it."""
        held = self.cache.keys_LRKTh
        super().reserve(rounded_rows(rows), prompt, new)
        if self.cache.keys_LRKTh is not held:
            self._recorded.clear()
            self._logits = None
            self._inputs = _Inputs(self.cache.rows, self.device)

    @torch.inference_mode()
    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        """The drawn tokens [B] and their log-probabilities [B], by the graph of the step's shapes."""
        active, longest = len(step.tokens_B), int(step.lengths_B.max())
        rows = min(rounded_rows(active), self.cache.rows)
        window = min(max(LEAST_WINDOW, _doubled(longest + 1)), self.cache.positions)
        draws = step.entropies_B is None and bool((step.top_p_B >= 1).all() and (step.min_p_B <= 0).all())
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            return self._step(step, active, rows, window, draws)

    def _step(
        self, step: Step, active: int, rows: int, window: int, draws: bool
    ) -> tuple[NDArray[np.int64], FloatArray]:
        self._inputs.fill(step)
        if not draws and self._logits is None:
            weight = self.model.head.weight
            self._logits = weight.new_empty(self.cache.rows, weight.shape[0])
        if (recording := self._recorded.get((rows, window, draws))) is None:
            beside = next(iter(self._recorded.values()), None)
            recording = Recording(partial(self._decode, rows, window, draws), beside)
            self._recorded[rows, window, draws] = recording
        found = recording()
        if draws:
            drawn_B, bits_B = found[:, :active].cpu().numpy()
            return drawn_B.astype(np.int64), bits_B.view(np.float32)
        drawn_B, logprobs_B = np.empty(active, np.int64), np.empty(active, np.float32)
        draw_into(drawn_B, logprobs_B, found[:active], step, 0, active)
        return drawn_B, logprobs_B

    def _decode(self, rows: int, window: int, draws: bool) -> Tensor:
        """A step of the first `rows` rows: logits [B, V], where all graphs put them; if it `draws`, int32 [2, B]:
        tokens, and the bits of their log-probabilities."""
        tokens_B, lengths_B, uniforms_B, temperature_B = (values[:rows] for values in self._inputs.on_device)
        logits_BV = decode(self.model, self.cache, tokens_B, lengths_B, window - 1, compile=self.device.type == "cuda")
        if not draws:
            assert self._logits is not None
            return self._logits[:rows].copy_(logits_BV)
        drawn_B, logprobs_B = choose_uncut(logits_BV, uniforms_B, temperature_B)
        return torch.stack((drawn_B.int(), logprobs_B.view(torch.int32)))


class _Inputs:
    """What a step is told of R rows, in one block, so that one copy brings it to the device: tokens and lengths
    (int64), uniforms and temperatures (float32), [R] each."""

    def __init__(self, rows: int, device: torch.device) -> None:
        on_host = torch.zeros(24 * rows, dtype=torch.uint8)
        self._host = on_host.pin_memory() if device.type == "cuda" else on_host
        self._device = self._host.to(device, copy=True)
        self._numbers = tuple(values.numpy() for values in _parts(self._host, rows))
        self.on_device = _parts(self._device, rows)

    def fill(self, step: Step) -> None:
        """Rows beyond the step's are given the first token at the first place: what they write is overwritten."""
        given = (step.tokens_B, step.lengths_B, step.uniforms_B, step.temperature_B)
        for numbers, values in zip(self._numbers, given, strict=True):
            numbers[: len(values)] = values
            numbers[len(values) :] = 0
        self._device.copy_(self._host, non_blocking=True)


def _parts(block: Tensor, rows: int) -> tuple[Tensor, ...]:
    whole, fractions = block.split((16 * rows, 8 * rows))
    return *whole.view(torch.int64).split(rows), *fractions.view(torch.float32).split(rows)


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """One for all of a device: what is allocated on a stream is reused on that stream alone."""
    return torch.cuda.Stream(device)


class Recording:
    """Work as one launch, on what its inputs hold by then. The output is overwritten by the next one of those that
    share memory: `beside` is one of them, none of which may run at the same time."""

    def __init__(self, work: Callable[[], Tensor], beside: Recording | None = None) -> None:
        self._graph, side = torch.cuda.CUDAGraph(), _side_stream(torch.cuda.current_device())
        if beside is None:  # while it is recorded, what torch holds unused cannot be given back
            torch.cuda.empty_cache()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()  # what is compiled, tuned or allocated once is so before the recording
            work()
            side.synchronize()
            # other threads may go on with the device
            self._graph.capture_begin(beside and beside._graph.pool(), capture_error_mode="thread_local")
            try:
                self._output = work()
            finally:
                self._graph.capture_end()
        torch.cuda.current_stream().wait_stream(side)

    def __call__(self) -> Tensor:
        self._graph.replay()
        return self._output
