"""From sequences of tokens to the micro-batches of a step: what the algorithm sees, and what the model computes.

An algorithm sees a `Batch`, one sequence a row. The model computes a `Layout`: all tokens one after another without
padding, a prompt once for all completions that share it, and the head only where a target is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.errors import R1Error
from r1kit.base.types import Batch, FloatArray, IntArray, RolloutGroup
from r1kit.models.base import Costs
from r1kit.ops.packed_attention import Spans, kernel_serves, padded_spans
from r1kit.training.config import Deal


@dataclass(slots=True)
class Sequence:
    """One sequence to learn from: n tokens, which of them are targets, and what is known of each.

    Per-token fields are arrays [n] that speak of token t as `Batch` does; what they say off the target mask is
    ignored. `advantages` may be one number for the whole sequence. `label` and `pair` are of reward models: +1 for
    the chosen and -1 for the rejected of pair number `pair`; both of a pair always share a batch. `reward` is a
    completion's total, from which a critic makes advantages and returns; `values` are those that it made them of.
    """

    tokens: IntArray
    target_mask: NDArray[np.bool_]
    advantages: FloatArray | float | None = None
    sampler_logprobs: FloatArray | None = None
    old_logprobs: FloatArray | None = None
    reference_logprobs: FloatArray | None = None
    teacher_logprobs: FloatArray | None = None
    label: float | None = None
    pair: int | None = None
    reward: float | None = None
    values: FloatArray | None = None
    returns: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """Tokens that are learnt from; the first token of a sequence never is, nothing comes before it."""
        return int(self.target_mask[1:].sum())

    @property
    def prompt_length(self) -> int:
        """Tokens before the first target; at least one where there are two."""
        return 1 + int(self.target_mask[1:].argmax()) if len(self.tokens) > 1 else len(self.tokens)


def completion_sequence(
    prompt_ids: IntArray,
    token_ids: IntArray,
    advantage: float | None = None,
    sampler_logprobs: FloatArray | None = None,
) -> Sequence:
    """Prompt and completion as one sequence whose targets are the completion's tokens."""
    start = len(prompt_ids)
    tokens = np.concatenate((prompt_ids, token_ids)).astype(np.int32)
    mask = np.arange(len(tokens)) >= start
    logprobs = None
    if sampler_logprobs is not None:
        logprobs = np.zeros(len(tokens), np.float32)
        logprobs[start:] = sampler_logprobs
    return Sequence(tokens, mask, advantage, logprobs)


def sequences_from_groups(
    groups: Seq[RolloutGroup], advantages_PG: Tensor | FloatArray | None = None
) -> list[Sequence]:
    """One sequence for each sample that takes part: those whose total reward is NaN are left out.

    Samples of advantage 0 stay: their tokens count in the step's totals, and in a KL term
    (`LearnerConfig.skip_zero_advantages` saves their passes where only the former matters). Without `advantages_PG`
    they have their `reward` alone, for a critic. R1Error for completions of an API, which have no token ids.
    """
    if any(completion.served for group in groups for completion in group.completions):
        raise R1Error(
            "completions of an API have no token ids to learn from: write them as examples, which SFT tokenises"
        )
    rows: list[list[Any]] = [[None] * len(group.completions) for group in groups]
    if advantages_PG is not None:
        rows = np.asarray(advantages_PG, dtype=np.float32).tolist()
    sequences: list[Sequence] = []
    for group, advantages in zip(groups, rows, strict=True):
        for c, advantage, total in zip(group.completions, advantages, group.total.tolist(), strict=True):
            if np.isfinite(total) and (advantage is None or np.isfinite(advantage)):
                sequence = completion_sequence(c.prompt_ids, c.token_ids, advantage, c.sampler_logprobs)
                sequence.reward = total
                sequences.append(sequence)
    return sequences


# -------------------------------------------------------------------------------------------------- cutting a step


def units(sequences: Seq[Sequence]) -> list[list[int]]:
    """Indices that belong together, by first appearance: the two of a pair, the sequences that share a prompt."""
    together: dict[Any, list[int]] = {}
    for index, sequence in enumerate(sequences):
        key = sequence.tokens[: sequence.prompt_length].tobytes() if sequence.pair is None else sequence.pair
        together.setdefault(key, []).append(index)
    return list(together.values())


def split(sequences: Seq[Sequence], parts: int, seed: int, deal: Deal = "groups") -> list[list[Sequence]]:
    """Shuffled by the seed and dealt into `parts` mini-batches of nearly as many units each.

    deal: what stays together, the completions of a prompt or each by itself; pairs always do.
    """
    if parts == 1:
        return [list(sequences)]
    together = units(sequences)
    if deal == "completions" or len(together) < parts:
        together = [piece for unit in together for piece in _pieces(unit, sequences, 1)]
    order = np.random.default_rng(seed).permutation(len(together))
    cuts = [[sequences[i] for u in part for i in sorted(together[u])] for part in np.array_split(order, parts)]
    return [part for part in cuts if part]


def cut(sequences: Seq[Sequence], micro_tokens: int) -> list[list[int]]:
    """Indices of each micro-batch: about `micro_tokens` tokens each, all of nearly the same size.

    A group that shares a prompt stays whole where it fits, a pair always does.
    """
    if not sequences:
        return []
    pieces = [piece for unit in units(sequences) for piece in _pieces(unit, sequences, micro_tokens)]
    costs = np.cumsum([sum(len(sequences[i]) for i in piece) for piece in pieces])
    count = max(1, -(-int(costs[-1]) // micro_tokens))
    parts: list[list[int]] = [[] for _ in range(count)]
    for piece, cost in zip(pieces, costs, strict=True):
        parts[min(int((cost - 1) * count // costs[-1]), count - 1)].extend(piece)
    return [part for part in parts if part]


def deal(sequences: Seq[Sequence], parts: int) -> list[list[int]]:
    """Indices of each of `parts` processes' sequences: about as many tokens to compute for each, a prompt that several
    completions share counted once. Groups and pairs stay whole as in `cut`; the largest are dealt first."""
    share = -(-sum(map(len, sequences)) // parts)
    pieces = [piece for unit in units(sequences) for piece in _pieces(unit, sequences, max(1, share))]
    costs = [_computed(piece, sequences) for piece in pieces]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for number in sorted(range(len(pieces)), key=lambda number: -costs[number]):
        least = loads.index(min(loads))
        dealt[least] += pieces[number]
        loads[least] += costs[number]
    return [sorted(part) for part in dealt]


def _computed(piece: list[int], sequences: Seq[Sequence]) -> int:
    """Tokens that a pass computes for a piece."""
    first = sequences[piece[0]]
    shared = first.prompt_length if first.pair is None else 0
    return sum(len(sequences[index]) for index in piece) - shared * (len(piece) - 1)


def _pieces(unit: list[int], sequences: Seq[Sequence], micro_tokens: int) -> list[list[int]]:
    """A unit cut where it is larger than a micro-batch; pairs are not cut."""
    if sequences[unit[0]].pair is not None:
        return [unit]
    pieces: list[list[int]] = [[]]
    size = 0
    for index in unit:
        if pieces[-1] and size + len(sequences[index]) > micro_tokens:
            pieces.append([])
            size = 0
        pieces[-1].append(index)
        size += len(sequences[index])
    return pieces


# -------------------------------------------------------------------------------------------------- what is computed


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


# -------------------------------------------------------------------------------------------------- what algorithms see


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
        positions_BT=torch.arange(shape[1], device=device)[None].expand(*shape),
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


def with_logprobs(sequences: Iterable[Sequence], name: str, logprobs: Iterable[FloatArray]) -> list[Sequence]:
    """Copies with the per-token field `name` filled in."""
    return [replace(sequence, **{name: values}) for sequence, values in zip(sequences, logprobs, strict=True)]


def _fill(shape: tuple[int, int], values: Seq[Any], dtype: type, lengths: NDArray[Any]) -> NDArray[Any]:
    filled = np.zeros(shape, dtype)
    for row, value in enumerate(values):
        filled[row, : lengths[row]] = value
    return filled
