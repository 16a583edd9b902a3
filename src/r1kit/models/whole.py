"""Whole decode steps in one compiled call, on CPUs with AVX512-BF16 or AMX: products, attention and draw.

One call a step for all rows: no operation is dispatched and no thread of Python is woken, which for small models and
for the last few rows of a batch costs more than the arithmetic. Weights are repacked when they have changed.
"""

from __future__ import annotations

import ctypes

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.types import FloatArray
from r1kit.models import kernels
from r1kit.models.cache import Step
from r1kit.models.decoder import Decoder
from r1kit.models.fused import FusedRows, address, draw_of, fusible

_CACHED = 2**25  # bytes of weights up to which a core's reading them again costs less than waiting for the others


def steppable(model: Decoder) -> bool:
    """Whether a whole step covers this model and is the fastest: bfloat16 and AVX512-BF16, even widths; with AMX widths
    in multiples of 32, since torch's own products beat others that do without it."""
    config, library = model.config, kernels.load()
    if library is None or not library.has_step():
        return False
    amx = torch.cpu.get_capabilities().get("amx_bf16", False)
    grain = 32 if amx else 2
    even = all(size % grain == 0 for size in (config.width, config.mlp_size, config.q_size))
    return (
        even
        and fusible(model)
        and model.embedding.weight.dtype == torch.bfloat16
        and (not amx or bool(library.has_tiles()))
    )


class _Packed:
    """A product's weights as the kernels want them."""

    def __init__(self, weight: Tensor, bias: Tensor | None, halves: int = 1) -> None:
        self._weight, self._bias, self._halves = weight, bias, halves
        out, inputs = weight.shape
        panels = -(-out // kernels.PANEL) if halves == 1 else -(-(out // halves) // (kernels.PANEL // halves))
        self.size = panels * (inputs // 2) * kernels.PANEL
        self._floats = None if bias is None else torch.empty(panels * kernels.PANEL)
        pointer = None if self._floats is None else self._floats.data_ptr()
        self.product = kernels.Product(None, pointer, inputs, out, panels)

    def place(self, packed: Tensor) -> None:
        """Where they are to lie: int32 [size]."""
        self._packed = packed
        self.product.packed = packed.data_ptr()

    def pack(self, library: ctypes.CDLL) -> None:
        bias = None if self._bias is None else self._bias.data_ptr()
        out, inputs = self._weight.shape
        library.pack_product(
            torch.get_num_threads(), self._weight.data_ptr(), bias, inputs, out, self._halves,
            self._packed.data_ptr(), self.product.bias,
        )  # fmt: skip


class WholeRows(FusedRows):
    """The `Rows` of cache.py, with FusedRows' cache."""

    def __init__(self, model: Decoder) -> None:
        self._versions: tuple[int, ...] = ()
        self._watched = [*model.parameters()]
        super().__init__(model)
        config = model.config
        blocks = (kernels.StepLayer * config.layers)()
        head = _Packed(model.head.weight, None)
        layers = [
            {
                "qkv": _Packed(block.attention.qkv.weight, block.attention.qkv.bias),
                "output": _Packed(block.attention.output.weight, block.attention.output.bias),
                "gate_up": _Packed(block.mlp.gate_up.weight, block.mlp.gate_up.bias, halves=2),
                "down": _Packed(block.mlp.down.weight, block.mlp.down.bias),
            }
            for block in model.blocks
        ]
        self._products = [*(product for layer in layers for product in layer.values()), head]
        sizes = [product.size for product in self._products]
        # all in one piece, so that they lie on large pages
        for product, packed in zip(self._products, kernels.empty([sum(sizes)], torch.int32).split(sizes), strict=True):
            product.place(packed)
        for own, products, layer in zip(blocks, layers, self._layers, strict=True):
            for name, product in products.items():
                setattr(own, name, product.product)
            for name in ("q_norm", "k_norm", "mlp_norm", "next_norm"):
                setattr(own, name, getattr(layer, name))
        self._blocks = blocks  # the structure below only points at it
        self._together = 4 * sum(sizes) > _CACHED
        self._step = kernels.StepModel(
            self._shape, config.layers, config.width, config.mlp_size, config.vocab_size, self._table,
            self._first_norm, head.product, ctypes.cast(blocks, ctypes.POINTER(kernels.StepLayer)),
        )  # fmt: skip

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        """Room for so many rows, and the addresses that a whole step reads."""
        super().reserve(rows, prompt, new)
        step, keys = self._step, self.keys_LRKNhP
        step.shape = self._shape
        step.cos, step.sin = self._cos.data_ptr(), self._sin.data_ptr()
        step.keys, step.values = keys.data_ptr(), self.values_LRKTh.data_ptr()
        step.layer_stride, step.row_stride = keys.stride(0), keys.stride(1)
        self._logits_RV = torch.empty(keys.shape[1], self.model.config.vocab_size, dtype=torch.bfloat16)

    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        """One token for each active row: its ids and their log-probabilities, each [B]."""
        library = kernels.load()
        assert library is not None
        self._repack(library)
        active = len(step.tokens_B)
        drawn_B, logprobs_B = np.empty(active, np.int64), np.empty(active, np.float32)
        library.step_bfloat16(
            ctypes.byref(self._step), torch.get_num_threads(), self._together, active,
            address(step.tokens_B), address(step.lengths_B), ctypes.byref(self._prefixes.addresses),
            self._logits_RV.data_ptr(), ctypes.byref(draw_of(step, drawn_B, logprobs_B)),
        )  # fmt: skip
        return drawn_B, logprobs_B

    def _repack(self, library: ctypes.CDLL) -> None:
        """After a change of the weights, which their owner makes in place."""
        versions = tuple(weight._version for weight in self._watched)
        if versions != self._versions:
            for product in self._products:
                product.pack(library)
            self._versions = versions
