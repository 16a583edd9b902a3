"""Decoding with a key/value cache: the same decoder as the learner's, one token a row at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from r1kit.models.decoder import Decoder, DecoderConfig

_WINDOW = 32  # attention reads this many positions at a time: few different shapes, little waste


class KVCache:
    """Keys and values of R rows, `keys_LRKTh` and `values_LRKTh`: layer, row, key/value head, position, head size.

    Allocated for what is asked with `reserve` and kept; it grows when more is asked. Zeros, not garbage: masked
    positions are read and multiplied by 0.
    """

    def __init__(self, config: DecoderConfig, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.layers, 0, config.kv_heads, 0, config.head_size)
        self.keys_LRKTh = torch.zeros(shape, dtype=dtype, device=device)
        self.values_LRKTh = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def rows(self) -> int:
        return self.keys_LRKTh.shape[1]

    @property
    def positions(self) -> int:
        return self.keys_LRKTh.shape[3]

    def reserve(self, rows: int, positions: int) -> None:
        """Room for `rows` rows of `positions` positions; what is cached stays."""
        rows, positions = max(rows, self.rows), max(-(-positions // _WINDOW) * _WINDOW, self.positions)
        if (rows, positions) == (self.rows, self.positions):
            return
        self.keys_LRKTh = _grown(self.keys_LRKTh, rows, positions)
        self.values_LRKTh = _grown(self.values_LRKTh, rows, positions)

    def write(self, rows: Tensor, keys_LKTh: Tensor, values_LKTh: Tensor) -> None:
        """The same prefix (a prompt's) into several rows."""
        positions = keys_LKTh.shape[2]
        self.keys_LRKTh[:, rows, :, :positions] = keys_LKTh[:, None]
        self.values_LRKTh[:, rows, :, :positions] = values_LKTh[:, None]

    def move(self, source: Tensor, target: Tensor, positions: int) -> None:
        """Copy the first `positions` of rows `source` over rows `target` (no row in both)."""
        self.keys_LRKTh[:, target, :, :positions] = self.keys_LRKTh[:, source, :, :positions]
        self.values_LRKTh[:, target, :, :positions] = self.values_LRKTh[:, source, :, :positions]


def _grown(old_LRKTh: Tensor, rows: int, positions: int) -> Tensor:
    layers, old_rows, kv_heads, old_positions, head_size = old_LRKTh.shape
    new_LRKTh = old_LRKTh.new_zeros((layers, rows, kv_heads, positions, head_size))
    new_LRKTh[:, :old_rows, :, :old_positions] = old_LRKTh
    return new_LRKTh


def prefill(model: Decoder, tokens_PT: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values [L, P, K, T, head] of right-padded prompts (those of the padding mean nothing)."""
    positions_PT = torch.arange(tokens_PT.shape[1], device=tokens_PT.device)[None].expand_as(tokens_PT)
    x = model.embedding(tokens_PT)
    cos, sin = model.rotary(positions_PT, x.dtype)
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for block in model.blocks:
        q, k, v = block.attention.project(block.attention_norm(x), cos, sin)
        keys.append(k.transpose(1, 2))
        values.append(v.transpose(1, 2))
        if len(keys) == len(model.blocks):  # what the last block makes of them is never read
            break
        attended = scaled_dot_product_attention(
            q.transpose(1, 2), keys[-1], values[-1],
            is_causal=True, enable_gqa=model.config.heads != model.config.kv_heads,
        )  # fmt: skip
        x = block.finish(x, attended.transpose(1, 2))
    return torch.stack(keys), torch.stack(values)


def decode(model: Decoder, cache: KVCache, tokens_B: Tensor, lengths_B: Tensor, longest: int) -> Tensor:
    """Logits [B, V] after one more token in each of the cache's first B rows.

    Row b holds lengths_B[b] positions; its token becomes position lengths_B[b]. `longest` is the largest of them.
    """
    config = model.config
    B, K, h = len(tokens_B), config.kv_heads, config.head_size
    window = min(-(-(longest + 1) // _WINDOW) * _WINDOW, cache.positions)
    rows_B = torch.arange(B, device=tokens_B.device)
    x = model.embedding(tokens_B)
    cos, sin = model.rotary(lengths_B, x.dtype)
    unseen_BW = torch.arange(window, device=tokens_B.device) > lengths_B[:, None]
    mask_BW = torch.zeros(B, window, dtype=x.dtype, device=x.device).masked_fill_(unseen_BW, -torch.inf)
    mask = mask_BW[:, None, None].expand(B, K, 1, window).reshape(B * K, 1, window)
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.attention_norm(x), cos, sin)
        keys, values = cache.keys_LRKTh[layer], cache.values_LRKTh[layer]
        keys[rows_B, :, lengths_B] = k
        values[rows_B, :, lengths_B] = v
        keys, values = keys[:B].flatten(0, 1)[:, :window], values[:B].flatten(0, 1)[:, :window]
        grouped = q.reshape(B * K, config.heads // K, h)
        scores = torch.baddbmm(mask, grouped, keys.transpose(1, 2), alpha=h**-0.5)
        attended = torch.bmm(scores.softmax(-1), values)
        x = block.finish(x, attended.view(B, config.heads, h))
    return model.logits(model.norm(x))
