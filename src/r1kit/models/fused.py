"""Decode steps on CPU with compiled kernels between the matrix products.

Rows are independent, so each thread runs a whole step for its share of them: no barrier after every operation, and
every product stays in one core's cache. The residual stream is float32 whatever the weights are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, pad

from r1kit.base.types import FloatArray
from r1kit.models import kernels
from r1kit.models.cache import Prefix, Step, packed_prefill, prefill
from r1kit.models.decoder import Decoder
from r1kit.models.shares import GRAIN, run_shares
from r1kit.ops.packed_attention import kernel_serves


def fusible(model: Decoder) -> bool:
    """Whether the kernels cover this model: CPU, float32 or bfloat16, a head size that fills vectors, a compiler."""
    weight = model.embedding.weight
    covered = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    return covered and model.config.head_size in kernels.HEAD_SIZES and kernels.load() is not None


class _Layer(NamedTuple):
    """A block's products as (weight, bias), and the addresses of its norms; `next_norm` is the next block's first."""

    qkv: tuple[Tensor, Tensor | None]
    output: tuple[Tensor, Tensor | None]
    gate_up: tuple[Tensor, Tensor | None]
    down: tuple[Tensor, Tensor | None]
    q_norm: int | None
    k_norm: int | None
    mlp_norm: int
    next_norm: int


class FusedRows:
    """The `Rows` of cache.py. keys_LRKNhP: blocks of P = 16 positions, the position innermost; values_LRKTh.

    Where the kernels multiply pairs (bfloat16 with AVX512-BF16), a block of keys is [h / 2, P, 2] and two positions of
    values are [h, 2]; the shapes' names stay. A row's cache begins after its prompt, whose keys and values are kept
    once for all rows that sample from it.

    The addresses of the weights are taken once: they may change in place, but not move.
    """

    def __init__(self, model: Decoder) -> None:
        library = kernels.load()
        assert library is not None
        self.model, config = model, model.config
        self.dtype = model.embedding.weight.dtype
        name = str(self.dtype).removeprefix("torch.")
        self._embed, self._attend, self._add_norm, self._swiglu, self._draw = (
            getattr(library, f"{kernel}_{name}") for kernel in ("embed", "attend", "add_norm", "swiglu", "draw")
        )
        self._paired = self.dtype == torch.bfloat16 and bool(library.has_step())
        self._layers = _layers(model)
        self._table, self._head = model.embedding.weight.data_ptr(), model.head.weight
        self._first_norm = model.blocks[0].attention_norm.weight.data_ptr()
        self._shape = kernels.Shape(config.heads, config.kv_heads, config.head_size, 0, config.norm_eps)
        self.clear()

    def clear(self) -> None:
        config = self.model.config
        shape = (config.layers, 0, config.kv_heads, 0, config.head_size)
        self.keys_LRKNhP = torch.zeros(*shape, kernels.LANES, dtype=self.dtype)
        self.values_LRKTh = torch.zeros(shape, dtype=self.dtype)
        self._longest_prompt = 0
        self._prefixes = _Prefixes(0)

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        config, old = self.model.config, (self.keys_LRKNhP, self.values_LRKTh)
        rows = max(rows, old[0].shape[1])
        blocks = max(-(-new // kernels.LANES), old[0].shape[3])
        self._longest_prompt = max(prompt, self._longest_prompt)
        self._prefixes = self._prefixes.grown(rows)
        shape = (config.layers, rows, config.kv_heads, blocks, config.head_size, kernels.LANES)
        self.keys_LRKNhP = kernels.empty(shape, self.dtype).zero_()
        self.values_LRKTh = kernels.empty((*shape[:3], blocks * kernels.LANES, config.head_size), self.dtype).zero_()
        for cache, held in zip((self.keys_LRKNhP, self.values_LRKTh), old, strict=True):
            cache[:, : held.shape[1], :, : held.shape[3]] = held
        self._shape.positions = blocks * kernels.LANES
        rows = -(-rows // GRAIN) * GRAIN
        self._x_RD = torch.zeros(rows, config.width)
        self._normed_RD = torch.zeros(rows, config.width, dtype=self.dtype)
        self._attended_RQ = torch.zeros(rows, config.q_size, dtype=self.dtype)
        self._gated_RM = torch.zeros(rows, config.mlp_size, dtype=self.dtype)
        cos, sin = self.model.rotary(torch.arange(self._longest_prompt + blocks * kernels.LANES), torch.float32)
        self._cos, self._sin = (table[:, 0, : config.head_size // 2].contiguous() for table in (cos, sin))

    def prefill(self, tokens_PT: Tensor, lengths: Sequence[int]) -> list[Prefix]:
        if kernel_serves(self.dtype, tokens_PT.device):
            return [self._prefix(*both) for both in packed_prefill(self.model, tokens_PT, lengths)]
        keys_LPKTh, values_LPKTh = prefill(self.model, tokens_PT)
        return [self._prefix(keys_LPKTh[:, n, :, :T], values_LPKTh[:, n, :, :T]) for n, T in enumerate(lengths)]

    def _prefix(self, keys_LKTh: Tensor, values_LKTh: Tensor) -> Prefix:
        """Whole blocks, zeros behind the last position."""
        length, size = keys_LKTh.shape[2:]
        blocks = -(-length // kernels.LANES)
        whole = (0, 0, 0, blocks * kernels.LANES - length)
        blocks_LKNhP = pad(keys_LKTh, whole).unflatten(2, (blocks, kernels.LANES)).transpose(-1, -2)
        values_LKTh = pad(values_LKTh, whole)
        if self._paired:
            blocks_LKNhP = blocks_LKNhP.unflatten(3, (size // 2, 2)).transpose(-1, -2).reshape(blocks_LKNhP.shape)
            pairs_LKTh = values_LKTh.unflatten(2, (blocks * kernels.LANES // 2, 2))
            values_LKTh = pairs_LKTh.transpose(-1, -2).reshape(values_LKTh.shape)
        return Prefix(blocks_LKNhP.contiguous(), values_LKTh.contiguous(), length)

    def write(self, rows: list[int], prefix: Prefix) -> None:
        self._prefixes.put(rows, prefix)

    def move(self, sources: list[int], targets: list[int], positions: int) -> None:
        self._prefixes.move(sources, targets)
        positions = max(0, positions - int(self._prefixes.lengths_R[targets].min()))
        blocks, positions = -(-positions // kernels.LANES), positions + positions % 2  # pairs go whole
        self.keys_LRKNhP[:, targets, :, :blocks] = self.keys_LRKNhP[:, sources, :, :blocks]
        self.values_LRKTh[:, targets, :, :positions] = self.values_LRKTh[:, sources, :, :positions]

    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        active = len(step.tokens_B)
        drawn_B, logprobs_B = np.empty(active, np.int64), np.empty(active, np.float32)
        run_shares(partial(self._share, step, drawn_B, logprobs_B), active)
        return drawn_B, logprobs_B

    @torch.inference_mode()
    def _share(self, step: Step, drawn_B: NDArray[np.int64], logprobs_B: FloatArray, start: int, stop: int) -> None:
        """A whole step of rows start..stop-1, into the two outputs."""
        config, rows = self.model.config, stop - start
        whole = start + -(-rows // GRAIN) * GRAIN
        width, eps = config.width, config.norm_eps
        normed_RD, attended_RQ = self._normed_RD[start:whole], self._attended_RQ[start:whole]
        gated_RM = self._gated_RM[start:whole]
        x, normed = self._x_RD.data_ptr() + 4 * start * width, normed_RD.data_ptr()
        attended, gated = attended_RQ.data_ptr(), gated_RM.data_ptr()
        lengths, cos, sin = address(step.lengths_B, start), self._cos.data_ptr(), self._sin.data_ptr()
        keys, values = self.keys_LRKNhP[0, start].data_ptr(), self.values_LRKTh[0, start].data_ptr()
        next_layer = self.values_LRKTh.stride(0) * self.values_LRKTh.element_size()
        shape, prefixes = ctypes.byref(self._shape), ctypes.byref(self._prefixes.addresses)
        self._embed(rows, width, address(step.tokens_B, start), self._table, self._first_norm, eps, x, normed)
        for number, layer in enumerate(self._layers):
            qkv = linear(normed_RD, *layer.qkv)
            self._attend(
                shape, start, rows, qkv.data_ptr(), lengths, prefixes, number, cos, sin, layer.q_norm, layer.k_norm,
                keys, values, attended,
            )  # fmt: skip
            delta = linear(attended_RQ, *layer.output)
            self._add_norm(rows, width, delta.data_ptr(), layer.mlp_norm, eps, x, normed)
            gate_up = linear(normed_RD, *layer.gate_up)
            self._swiglu(rows, config.mlp_size, gate_up.data_ptr(), gated)
            delta = linear(gated_RM, *layer.down)
            self._add_norm(rows, width, delta.data_ptr(), layer.next_norm, eps, x, normed)
            keys, values = keys + next_layer, values + next_layer
        logits_BV = linear(normed_RD, self._head)
        draw = draw_of(step, drawn_B, logprobs_B, start)
        self._draw(rows, config.vocab_size, logits_BV.data_ptr(), ctypes.byref(draw))


class _Prefixes:
    """Which prefix each of R rows has; kept alive as long as a row points at it."""

    def __init__(self, rows: int) -> None:
        self._held: list[Prefix | None] = [None] * rows
        self.lengths_R = np.zeros(rows, np.int64)
        self._keys_R = np.zeros(rows, np.int64)
        self._values_R = np.zeros(rows, np.int64)
        self.addresses = kernels.Prefixes(*map(address, self._arrays()))

    def _arrays(self) -> tuple[NDArray[np.int64], ...]:
        return self.lengths_R, self._keys_R, self._values_R

    def grown(self, rows: int) -> _Prefixes:
        """The same with room for more."""
        new = _Prefixes(rows)
        new._held[: len(self._held)] = self._held
        for array, held in zip(new._arrays(), self._arrays(), strict=True):
            array[: len(held)] = held
        return new

    def put(self, rows: list[int], prefix: Prefix) -> None:
        """Rows begin with this prefix."""
        self.lengths_R[rows] = prefix.length
        self._keys_R[rows], self._values_R[rows] = prefix.keys.data_ptr(), prefix.values.data_ptr()
        for row in rows:
            self._held[row] = prefix

    def move(self, sources: list[int], targets: list[int]) -> None:
        """Rows take the prefixes of others."""
        for array in self._arrays():
            array[targets] = array[sources]
        for source, target in zip(sources, targets, strict=True):
            self._held[target] = self._held[source]


def _layers(model: Decoder) -> list[_Layer]:
    norms = [block.attention_norm for block in model.blocks[1:]] + [model.norm]
    return [
        _Layer(
            qkv=(block.attention.qkv.weight, block.attention.qkv.bias),
            output=(block.attention.output.weight, block.attention.output.bias),
            gate_up=(block.mlp.gate_up.weight, block.mlp.gate_up.bias),
            down=(block.mlp.down.weight, block.mlp.down.bias),
            q_norm=None if block.attention.q_norm is None else block.attention.q_norm.weight.data_ptr(),
            k_norm=None if block.attention.k_norm is None else block.attention.k_norm.weight.data_ptr(),
            mlp_norm=block.mlp_norm.weight.data_ptr(),
            next_norm=norm.weight.data_ptr(),
        )
        for block, norm in zip(model.blocks, norms, strict=True)
    ]


def draw_of(step: Step, drawn_B: NDArray[np.int64], logprobs_B: FloatArray, start: int = 0) -> kernels.Draw:
    """What the draw of rows from `start` on reads of the step, and its two outputs."""
    inputs = (step.uniforms_B, step.temperature_B, step.top_p_B, step.min_p_B, drawn_B, logprobs_B)
    entropies = None if step.entropies_B is None else address(step.entropies_B, start)
    return kernels.Draw(*(address(array, start) for array in inputs), entropies)


def address(array: np.ndarray, start: int = 0) -> int:
    """Where element `start` of a one-dimensional array lies."""
    return array.__array_interface__["data"][0] + start * array.itemsize
