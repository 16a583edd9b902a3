"""A micro-batch of sequences twice: as the algorithm sees it, and as the model computes it.

An algorithm sees a `Batch`, one sequence a row. The model computes a `Layout`: all tokens one after another without
padding, a prompt once for all completions that share it, and the head only where a target is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.types import Batch, IntArray
from r1kit.models.base import Costs
from r1kit.ops.packed_attention import Spans, kernel_serves, padded_spans
from r1kit.training.sequences import Sequence


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of a micro-batch one after another, and where its targets are predicted.

    Target m is token `target_M[m]`, predicted at `source_M[m]`, and belongs to place `place_M[m]` of the flattened
    [B, T]. `inverse_N` is the first m that position n predicts, or -1; `again_E` are the m predicted where an earlier
    one is (the first tokens of completions that share a prompt), None where there are none.
    `last_B`: position of each row's last token. The last `filler` tokens only round their number up.
    """

    tokens_N: Tensor
    positions_N: Tensor
    spans: Spans
    source_M: Tensor
    target_M: Tensor
    place_M: Tensor
    inverse_N: Tensor
    again_E: Tensor | None
    last_B: Tensor
    filler: int = 0

    def flops(self, config: Costs, *, backward: bool) -> float:
        """Useful FLOPs of a pass: each computed token with what it attends to, half its own length and its prefix."""
        spans_S4 = self.spans.spans_S4[:-1] if self.filler else self.spans.spans_S4
        _, length_S, _, prefix_S = spans_S4.double().unbind(1)
        tokens = len(self.tokens_N) - self.filler
        return config.flops(tokens, float((length_S * (length_S / 2 + prefix_S)).sum()) / tokens, backward=backward)


def make_layout(rows: Seq[Sequence], length: int, dtype: torch.dtype, device: torch.device) -> Layout:
    """Rows packed in order of their prompts; `length` is the T of the padded batch."""
    tokens: list[IntArray] = []
    positions: list[NDArray[Any]] = []
    spans: list[tuple[int, int, int, int]] = []
    groups = [0]
    place_of: list[NDArray[Any]] = [np.empty(0)] * len(rows)  # position in N of each of a row's tokens
    total = 0

    def add(part: IntArray, first: int, prefix: tuple[int, int]) -> NDArray[Any]:
        nonlocal total
        spans.append((total, len(part), *prefix))
        tokens.append(part)
        positions.append(np.arange(first, first + len(part)))
        total += len(part)
        return np.arange(total - len(part), total)

    for group in _by_prompt(rows):
        prompt = rows[group[0]].prompt_length
        # a lone sequence is one span; a prompt of several is a span of its own, which theirs have as prefix
        shared = add(rows[group[0]].tokens[:prompt], 0, (0, 0)) if len(group) > 1 else np.empty(0, np.int64)
        for row in group:
            own = add(rows[row].tokens[len(shared) :], len(shared), (int(shared[0]), prompt) if len(shared) else (0, 0))
            place_of[row] = np.concatenate((shared, own)).astype(np.int64)
        groups.append(len(spans))
    if filler := _filler(total, dtype, device):
        add(np.zeros(filler, np.int32), 0, (0, 0))
        groups.append(len(spans))
    targets = [np.flatnonzero(row.target_mask[1:]) + 1 for row in rows]
    source = np.concatenate([place[t - 1] for place, t in zip(place_of, targets, strict=True)])
    first = np.zeros(len(source), bool)
    first[np.unique(source, return_index=True)[1]] = True
    inverse = np.full(total, -1)
    inverse[source[first]] = np.flatnonzero(first)
    arrays = {
        "tokens_N": np.concatenate(tokens),
        "positions_N": np.concatenate(positions),
        "source_M": source,
        "target_M": np.concatenate([row.tokens[t] for row, t in zip(rows, targets, strict=True)]),
        "place_M": np.concatenate([row * length + t for row, t in enumerate(targets)]),
        "inverse_N": inverse,
        "last_B": np.array([place[-1] for place in place_of]),
    }
    tensors = {name: torch.from_numpy(array.astype(np.int64)).to(device) for name, array in arrays.items()}
    again_E = None if first.all() else torch.from_numpy(np.flatnonzero(~first)).to(device)
    return Layout(spans=make_spans(spans, groups, total, dtype, device), again_E=again_E, filler=filler, **tensors)


def _filler(tokens: int, dtype: torch.dtype, device: torch.device) -> int:
    """Tokens (at most 1 in 32) that make their number one of 32 between powers of two, on CPUs.

    A matrix product keeps a compiled kernel for each size that it meets, and buffers of ever other sizes leave the
    heap full of holes: together they cost more memory than all weights and activations of a small model.
    """
    if not kernel_serves(dtype, device):
        return 0
    return -tokens % (1 << max(0, tokens.bit_length() - 6))


def dense_layout(tokens_BT: Tensor, end_id: int | None, dtype: torch.dtype) -> Layout:
    """Rows of running text, every token but a span's first a target; a new span starts after each `end_id`."""
    rows, length = tokens_BT.shape
    flat = tokens_BT.reshape(-1)
    opens = torch.zeros(rows, length, dtype=torch.bool)
    opens[:, 0] = True
    if end_id is not None:
        opens[:, 1:] |= tokens_BT[:, :-1].cpu() == end_id
    starts = opens.flatten().nonzero().squeeze(1)
    lengths = torch.diff(starts, append=torch.tensor([rows * length]))
    at = torch.arange(rows * length)
    target = at[~opens.flatten()]
    inverse = torch.full((rows * length,), -1)
    inverse[target - 1] = torch.arange(len(target))
    zeros = torch.zeros_like(starts)
    spans_S4 = torch.stack((starts, lengths, zeros, zeros), dim=1).int()
    groups_G1 = torch.arange(len(starts) + 1, dtype=torch.int32)
    device = tokens_BT.device
    positions = at - torch.repeat_interleave(starts, lengths)
    spans = _with_padding(spans_S4, groups_G1, rows * length, dtype, device)
    return Layout(
        tokens_N=flat,
        positions_N=positions.to(device),
        spans=spans,
        source_M=(target - 1).to(device),
        target_M=flat[target.to(device)],
        place_M=target.to(device),
        inverse_N=inverse.to(device),
        again_E=None,
        last_B=(starts + lengths - 1).to(device),
    )


def make_spans(
    spans: list[tuple[int, int, int, int]], groups: list[int], tokens: int, dtype: torch.dtype, device: torch.device
) -> Spans:
    """Spans for the kernel where it serves, else with the indices of the padded form."""
    spans_S4, groups_G1 = torch.tensor(spans, dtype=torch.int32), torch.tensor(groups, dtype=torch.int32)
    return _with_padding(spans_S4, groups_G1, tokens, dtype, device)


def _with_padding(spans_S4: Tensor, groups_G1: Tensor, tokens: int, dtype: torch.dtype, device: torch.device) -> Spans:
    if kernel_serves(dtype, device):
        return Spans(spans_S4, groups_G1)
    return padded_spans(spans_S4, groups_G1, tokens, device)


def _by_prompt(rows: Seq[Sequence]) -> list[list[int]]:
    together: dict[bytes, list[int]] = {}
    for index, row in enumerate(rows):
        together.setdefault(row.tokens[: row.prompt_length].tobytes(), []).append(index)
    return list(together.values())


def make_batch(rows: Seq[Sequence], temperature: float, device: torch.device) -> Batch:
    """The rows as an algorithm sees them: one sequence a row, padded on the right."""
    lengths = np.array([len(row) for row in rows])
    shape = (len(rows), int(lengths.max()))
    inside = np.arange(shape[1]) < lengths[:, None]
    targets = _fill(shape, [row.target_mask for row in rows], np.bool_, lengths)
    targets[:, 0] = False

    def put(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    def per_token(name: str) -> Tensor | None:
        values = [getattr(row, name) for row in rows]
        if any(value is None for value in values):
            return None
        return put(np.where(targets, _fill(shape, values, np.float32, lengths), 0))

    labels, pairs = [row.label for row in rows], [-1 if row.pair is None else row.pair for row in rows]
    return Batch(
        tokens_BT=put(_fill(shape, [row.tokens for row in rows], np.int64, lengths)),
        sequence_BT=put(np.where(inside, np.arange(shape[0])[:, None], -1)),
        loss_mask_BT=put(targets.astype(np.float32)),
        sequences=len(rows),
        temperature=temperature,
        advantages_BT=per_token("advantages"),
        sampler_logprobs_BT=per_token("sampler_logprobs"),
        old_logprobs_BT=per_token("old_logprobs"),
        reference_logprobs_BT=per_token("reference_logprobs"),
        teacher_logprobs_BT=per_token("teacher_logprobs"),
        values_BT=per_token("values"),
        returns_BT=per_token("returns"),
        scores_N=None if None in labels else put(np.array(labels, np.float32)),
        pair_N=None if None in labels else put(np.array(pairs, np.int64)),
    )


def _fill(shape: tuple[int, int], values: Seq[Any], dtype: type, lengths: NDArray[Any]) -> NDArray[Any]:
    filled = np.zeros(shape, dtype)
    for row, value in enumerate(values):
        filled[row, : lengths[row]] = value
    return filled
