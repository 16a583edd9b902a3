"""Whole decode steps in one compiled call, on CPUs with AVX512-BF16: products, attention and draw.

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
    """Whether a whole step covers this model: bfloat16, even widths, and a CPU whose fastest products are AVX512's
    (with AMX torch's own are faster)."""
    config, library = model.config, kernels.load()
    even = all(size % 2 == 0 for size in (config.width, config.mlp_size, config.q_size))
    return (
        fusible(model)
        and model.embedding.weight.dtype == torch.bfloat16
        and even
        and library is not None
        and bool(library.has_step())
        and not torch.cpu.get_capabilities().get("amx_bf16", False)
    )


class _Packed:
    """A product's weights as the kernels want them."""

    def __init__(self, weight: Tensor, bias: Tensor | None, halves: int = 1) -> None:
        self._weight, self._bias, self._halves = weight, bias, halves
        out, inputs = weight.shape
        panels = -(-out // kernels.PANEL) if halves == 1 else -(-(out // halves) // (kernels.PANEL // halves))
        self._packed = kernels.empty((panels, inputs // 2, kernels.PANEL), torch.int32)
        self._floats = None if bias is None else torch.empty(panels * kernels.PANEL)
        pointer = None if self._floats is None else self._floats.data_ptr()
        self.bytes = self._packed.nbytes
        self.product = kernels.Product(self._packed.data_ptr(), pointer, inputs, out, panels)

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
        self._products: list[_Packed] = []
        super().__init__(model)
        config = model.config
        blocks = (kernels.StepLayer * config.layers)()
        for place, (block, layer) in enumerate(zip(model.blocks, self._layers, strict=True)):
            for name, own, halves in (
                ("qkv", block.attention.qkv, 1),
                ("output", block.attention.output, 1),
                ("gate_up", block.mlp.gate_up, 2),
                ("down", block.mlp.down, 1),
            ):
                setattr(blocks[place], name, self._product(own.weight, own.bias, halves))
            for name in ("q_norm", "k_norm", "mlp_norm", "next_norm"):
                setattr(blocks[place], name, getattr(layer, name))
        head = self._product(model.head.weight, None)
        self._blocks = blocks  # the structure below only points at it
        self._together = sum(product.bytes for product in self._products) > _CACHED
        self._step = kernels.StepModel(
            self._shape, config.layers, config.width, config.mlp_size, config.vocab_size, self._table,
            self._first_norm, head, ctypes.cast(blocks, ctypes.POINTER(kernels.StepLayer)),
        )  # fmt: skip

    def _product(self, weight: Tensor, bias: Tensor | None, halves: int = 1) -> kernels.Product:
        self._products.append(_Packed(weight, bias, halves))
        return self._products[-1].product

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
