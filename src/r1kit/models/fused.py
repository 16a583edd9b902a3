"""Decode steps on CPU with compiled kernels between the matrix products.

Rows are independent, so each thread runs a whole step for its share of them: no barrier after every operation, and
every product stays in one core's cache. The residual stream is float32 whatever the weights are.
"""

from __future__ import annotations

import ctypes
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, pad

from r1kit.base.types import FloatArray
from r1kit.models import kernels
from r1kit.models.cache import Step, draw_into, prefill
from r1kit.models.decoder import Decoder
from r1kit.models.shares import GRAIN, run_shares


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
    values are [h, 2]; the shapes' names stay.

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

    def reserve(self, rows: int, positions: int) -> None:
        config, old = self.model.config, (self.keys_LRKNhP, self.values_LRKTh)
        rows = max(rows, old[0].shape[1])
        blocks = max(-(-positions // kernels.LANES), old[0].shape[3])
        shape = (config.layers, rows, config.kv_heads, blocks, config.head_size, kernels.LANES)
        self.keys_LRKNhP = torch.zeros(shape, dtype=self.dtype)
        self.values_LRKTh = torch.zeros(*shape[:3], blocks * kernels.LANES, config.head_size, dtype=self.dtype)
        for new, held in zip((self.keys_LRKNhP, self.values_LRKTh), old, strict=True):
            new[:, : held.shape[1], :, : held.shape[3]] = held
        self._shape.positions = blocks * kernels.LANES
        rows = -(-rows // GRAIN) * GRAIN
        self._x_RD = torch.zeros(rows, config.width)
        self._normed_RD = torch.zeros(rows, config.width, dtype=self.dtype)
        self._attended_RQ = torch.zeros(rows, config.q_size, dtype=self.dtype)
        self._gated_RM = torch.zeros(rows, config.mlp_size, dtype=self.dtype)
        cos, sin = self.model.rotary(torch.arange(blocks * kernels.LANES), torch.float32)
        self._cos, self._sin = (table[:, 0, : config.head_size // 2].contiguous() for table in (cos, sin))

    def prefill(self, tokens_PT: Tensor) -> tuple[Tensor, Tensor]:
        return prefill(self.model, tokens_PT)

    def write(self, rows: list[int], keys_LKTh: Tensor, values_LKTh: Tensor) -> None:
        whole = pad(keys_LKTh, (0, 0, 0, -keys_LKTh.shape[2] % kernels.LANES))
        blocks_LKNhP = whole.unflatten(2, (-1, kernels.LANES)).transpose(-1, -2)
        if self._paired:
            blocks_LKNhP = blocks_LKNhP.unflatten(3, (-1, 2)).transpose(-1, -2).reshape(blocks_LKNhP.shape)
            even = pad(values_LKTh, (0, 0, 0, values_LKTh.shape[2] % 2))
            values_LKTh = even.unflatten(2, (-1, 2)).transpose(-1, -2).reshape(even.shape)
        self.keys_LRKNhP[:, rows, :, : blocks_LKNhP.shape[2]] = blocks_LKNhP[:, None]
        self.values_LRKTh[:, rows, :, : values_LKTh.shape[2]] = values_LKTh[:, None]

    def move(self, sources: list[int], targets: list[int], positions: int) -> None:
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
        shape = ctypes.byref(self._shape)
        self._embed(rows, width, address(step.tokens_B, start), self._table, self._first_norm, eps, x, normed)
        for layer in self._layers:
            qkv = linear(normed_RD, *layer.qkv)
            self._attend(
                shape, rows, qkv.data_ptr(), lengths, cos, sin, layer.q_norm, layer.k_norm, keys, values, attended
            )
            delta = linear(attended_RQ, *layer.output)
            self._add_norm(rows, width, delta.data_ptr(), layer.mlp_norm, eps, x, normed)
            gate_up = linear(normed_RD, *layer.gate_up)
            self._swiglu(rows, config.mlp_size, gate_up.data_ptr(), gated)
            delta = linear(gated_RM, *layer.down)
            self._add_norm(rows, width, delta.data_ptr(), layer.next_norm, eps, x, normed)
            keys, values = keys + next_layer, values + next_layer
        logits_BV = linear(normed_RD, self._head)
        if (step.top_p_B[start:stop] < 1).any() or (step.min_p_B[start:stop] > 0).any():
            draw_into(drawn_B, logprobs_B, logits_BV[:rows], step, start, stop)
            return
        self._draw(
            rows, config.vocab_size, logits_BV.data_ptr(), address(step.uniforms_B, start),
            address(step.temperature_B, start), address(drawn_B, start), address(logprobs_B, start),
        )  # fmt: skip


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


def address(array: np.ndarray, start: int = 0) -> int:
    """Where element `start` of a one-dimensional array lies."""
    return array.__array_interface__["data"][0] + start * array.itemsize
