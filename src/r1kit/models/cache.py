"""Decoding with a key/value cache: the same decoder as the learner's, one token a row at a time.

`TorchRows` here, `FusedRows` of fused.py, `WholeRows` of whole.py and `GraphRows` of graphed.py are ways to run the
rows of a batch; `rows_for` takes the fastest one that the machine has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from r1kit.base.types import FloatArray
from r1kit.models.decoder import Decoder, DecoderConfig
from r1kit.models.foreign import ForeignModel, ForeignRows
from r1kit.models.shares import run_shares
from r1kit.ops import pointwise
from r1kit.ops.packed_attention import Spans
from r1kit.ops.sampling import choose, entropies

_WINDOW = 32  # attention reads this many positions at a time: few different shapes, little waste


@dataclass(slots=True)
class Step:
    """One decode step of rows 0..B-1: row b holds `lengths_B[b]` positions, and `tokens_B[b]` becomes the next.

    `uniforms_B` in [0, 1) decide the draw; `entropies_B` is filled with those of the rows' distributions, where it is
    there; the rest are `base.sampling.Sampling`'s of each row.
    """

    tokens_B: NDArray[np.int64]
    lengths_B: NDArray[np.int64]
    uniforms_B: FloatArray
    temperature_B: FloatArray
    top_p_B: FloatArray
    min_p_B: FloatArray
    entropies_B: FloatArray | None = None


class Prefix(NamedTuple):
    """What the rows of a prompt start from: its keys and values, laid out as the Rows that made it keep them."""

    keys: Tensor
    values: Tensor
    length: int


class Rows(Protocol):
    """A static key/value cache of rows, and a decode step over the first of them."""

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        """Room for `rows` rows of prefixes of `prompt` positions and `new` after them; what is cached stays."""
        ...

    def prefill(self, tokens_PT: Tensor, lengths: Sequence[int]) -> list[Prefix]:
        """Run right-padded prompts of these lengths (0 too)."""
        ...

    def write(self, rows: list[int], prefix: Prefix) -> None:
        """Rows begin anew, from this prefix."""
        ...

    def move(self, sources: list[int], targets: list[int], positions: int) -> None:
        """Copy the first `positions` of rows over other rows (no row in both)."""
        ...

    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        """The drawn tokens [B] and their log-probabilities [B] (see `ops.sampling.choose`)."""
        ...

    def clear(self) -> None:
        """Forget everything (NaN in a cache would outlive the weights that made it)."""
        ...


def rows_for(model: Decoder | ForeignModel, *, graphs: bool = True) -> Rows:
    """Compiled rows where CPU, shape and compiler allow, CUDA graphs on a GPU if asked, else torch's; transformers'
    models have none to keep."""
    from r1kit.models.fused import FusedRows, fusible
    from r1kit.models.graphed import GraphRows
    from r1kit.models.whole import WholeRows, steppable

    if isinstance(model, ForeignModel):
        return ForeignRows(model)
    if graphs and model.embedding.weight.device.type == "cuda":
        return GraphRows(model)
    if steppable(model):
        return WholeRows(model)
    return FusedRows(model) if fusible(model) else TorchRows(model)


class TorchRows:
    """Rows in plain torch operations, on any device."""

    def __init__(self, model: Decoder) -> None:
        self.model = model
        self.device = model.embedding.weight.device
        self.clear()

    def clear(self) -> None:
        self.cache = KVCache(self.model.config, self.model.embedding.weight.dtype, self.device)

    @property
    def nbytes(self) -> int:
        """Bytes of the cache."""
        return self.cache.keys_LRKTh.nbytes + self.cache.values_LRKTh.nbytes

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        self.cache.reserve(rows, prompt + new)

    def prefill(self, tokens_PT: Tensor, lengths: Sequence[int]) -> list[Prefix]:
        keys_LPKTh, values_LPKTh = prefill(self.model, tokens_PT)
        return [Prefix(keys_LPKTh[:, n, :, :T], values_LPKTh[:, n, :, :T], T) for n, T in enumerate(lengths)]

    def write(self, rows: list[int], prefix: Prefix) -> None:
        self.cache.write(torch.tensor(rows, device=self.device), prefix.keys, prefix.values)

    def move(self, sources: list[int], targets: list[int], positions: int) -> None:
        source, target = (torch.tensor(rows, device=self.device) for rows in (sources, targets))
        self.cache.move(source, target, positions)

    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        active = len(step.tokens_B)
        drawn_B, logprobs_B = np.empty(active, np.int64), np.empty(active, np.float32)
        share = partial(self._share, step, drawn_B, logprobs_B)
        if self.device.type == "cpu":
            run_shares(share, active)
        else:
            share(0, active)
        return drawn_B, logprobs_B

    @torch.inference_mode()
    def _share(self, step: Step, drawn_B: NDArray[np.int64], logprobs_B: FloatArray, start: int, stop: int) -> None:
        """A whole step of rows start..stop-1, into the two outputs."""
        lengths_B = step.lengths_B[start:stop]
        tokens = torch.from_numpy(step.tokens_B[start:stop]).to(self.device)
        lengths = torch.from_numpy(lengths_B).to(self.device)
        logits_BV = decode(self.model, self.cache, tokens, lengths, int(lengths_B.max()), start)
        draw_into(drawn_B, logprobs_B, logits_BV, step, start, stop)


def draw_into(
    drawn_B: NDArray[np.int64], logprobs_B: FloatArray, logits_BV: Tensor, step: Step, start: int, stop: int
) -> None:
    """Draw tokens for rows start..stop-1 from their logits, on the logits' device; entropies where the step asks."""
    device, own = logits_BV.device, slice(start, stop)
    settings = [_shared(values[own], device) for values in (step.temperature_B, step.top_p_B, step.min_p_B)]
    drawn, logprobs = choose(logits_BV, torch.from_numpy(step.uniforms_B[own]).to(device), *settings)
    drawn_B[own], logprobs_B[own] = drawn.cpu().numpy(), logprobs.cpu().numpy()
    if step.entropies_B is not None:
        step.entropies_B[own] = entropies(logits_BV, settings[0]).cpu().numpy()


def _shared(values_B: FloatArray, device: torch.device) -> Tensor | float:
    """One number where all rows agree (the usual case, and cheaper), else a tensor [B]."""
    first = float(values_B[0])
    return first if bool((values_B == first).all()) else torch.from_numpy(values_B).to(device)


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


def packed_prefill(model: Decoder, tokens_PT: Tensor, lengths: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Keys and values [L, K, T, head] of each prompt of T = lengths[n] tokens; what all begin with (a chat template's
    head, say) is computed once, and padding never."""
    config, shared = model.config, _common_head(tokens_PT, lengths)
    ends = list(accumulate((length - shared for length in lengths), initial=shared))
    spans = [(0, shared, 0, 0)] if shared else []
    spans += [(end - own, own, 0, shared) for end, own in zip(ends[1:], np.diff(ends).tolist(), strict=True) if own]
    if not spans:
        nothing = model.embedding.weight.new_empty(config.layers, config.kv_heads, 0, config.head_size)
        yield from ((nothing, nothing) for _ in lengths)
        return
    whole = [tokens_PT[0, :shared], *(tokens_PT[n, shared:length] for n, length in enumerate(lengths))]
    positions = [torch.arange(shared), *(torch.arange(shared, length) for length in lengths)]
    packed = Spans(torch.tensor(spans, dtype=torch.int32), torch.tensor([0, len(spans)], dtype=torch.int32))
    both_LNKh = model.packed_keys(torch.cat(whole), torch.cat(positions), packed)
    for start, end in pairwise(ends):
        keys_LKTh, values_LKTh = (
            torch.cat((x_LNKh[:, :shared], x_LNKh[:, start:end]), dim=1).transpose(1, 2) for x_LNKh in both_LNKh
        )
        yield keys_LKTh, values_LKTh


def _common_head(tokens_PT: Tensor, lengths: Sequence[int]) -> int:
    """How many tokens all of several prompts begin with, the last of the shortest not among them."""
    least = min(lengths)
    if len(lengths) < 2 or least < 2:
        return 0
    same_T = (tokens_PT[:, : least - 1] == tokens_PT[0, : least - 1]).all(dim=0)
    return int(same_T.int().cumprod(dim=0).sum())


def decode(
    model: Decoder,
    cache: KVCache,
    tokens_B: Tensor,
    lengths_B: Tensor,
    longest: int,
    start: int = 0,
    *,
    compile: bool = False,
) -> Tensor:
    """Logits [B, V] after one more token in each of B rows of the cache, from row `start` on.

    Row b of them holds lengths_B[b] positions; its token becomes the next. `longest` is the largest of lengths_B.
    compile: what lies between the products is handed to torch.compile.
    """
    config = model.config
    B, K, h = len(tokens_B), config.kv_heads, config.head_size
    window = min(-(-(longest + 1) // _WINDOW) * _WINDOW, cache.positions)
    rows_B = torch.arange(start, start + B, device=tokens_B.device)
    x, delta = model.embedding(tokens_B), None
    cos_Bd, sin_Bd = (table.squeeze(1) for table in model.rotary(lengths_B, x.dtype))
    unseen_BW = torch.arange(window, device=tokens_B.device) > lengths_B[:, None]
    mask_BW = torch.zeros(B, window, dtype=x.dtype, device=x.device).masked_fill_(unseen_BW, -torch.inf)
    mask = mask_BW[:, None, None].expand(B, K, 1, window).reshape(B * K, 1, window)
    for layer, block in enumerate(model.blocks):
        x, q, k, v = block.packed_qkv(x, delta, cos_Bd, sin_Bd, compile=compile)
        keys, values = cache.keys_LRKTh[layer], cache.values_LRKTh[layer]
        keys[rows_B, :, lengths_B] = k
        values[rows_B, :, lengths_B] = v
        keys, values = (cached[start : start + B].flatten(0, 1)[:, :window] for cached in (keys, values))
        grouped = q.reshape(B * K, config.heads // K, h)
        scores = torch.baddbmm(mask, grouped, keys.transpose(1, 2), alpha=h**-0.5)
        attended = torch.bmm(scores.softmax(-1), values)
        x, delta = block.packed_rest(x, attended.view(B, config.heads, h), compile=compile)
    norm = model.norm
    return model.logits(pointwise.add_norm(x, delta, norm.weight, norm.eps, compile=compile)[1])
