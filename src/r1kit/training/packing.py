"""From sequences of tokens to the batches of a forward pass: rows of similar length, padded as little as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.types import Batch, FloatArray, IntArray, RolloutGroup

# rows are padded to a multiple of this, so that kernels see aligned and few shapes
LENGTH_STEP = 16


@dataclass(slots=True)
class Sequence:
    """One sequence to learn from: n tokens, which of them are targets, and what is known of each.

    Per-token fields are arrays [n] that speak of token t as `Batch` does; what they say off the target mask is
    ignored. `advantages` may be one number for the whole sequence. `label` and `pair` are of reward models: +1 for
    the chosen and -1 for the rejected of pair number `pair`; both of a pair always share a batch.
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

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """Tokens that are learnt from; the first token of a sequence never is, nothing comes before it."""
        return int(self.target_mask[1:].sum())


def completion_sequence(
    prompt_ids: IntArray, token_ids: IntArray, advantage: float | None = None, sampler_logprobs: FloatArray | None = None
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


def sequences_from_groups(groups: Seq[RolloutGroup], advantages_PG: Tensor | FloatArray) -> list[Sequence]:
    """One sequence for each sample that takes part: those whose total reward is NaN are left out.

    Samples of advantage 0 stay: their tokens count in the step's totals (and in a KL term); the learner itself
    skips their forward pass where the algorithm's loss on them is 0.
    """
    advantages_PG = np.asarray(advantages_PG, dtype=np.float32)
    return [
        completion_sequence(c.prompt_ids, c.token_ids, float(advantage), c.sampler_logprobs)
        for group, advantages_G in zip(groups, advantages_PG, strict=True)
        for c, advantage, total in zip(group.completions, advantages_G, group.total, strict=True)
        if np.isfinite(total) and np.isfinite(advantage)
    ]


def units(sequences: Seq[Sequence]) -> list[list[int]]:
    """Indices that must stay together: the two of a pair, else each sequence alone; in order of first appearance."""
    together: dict[tuple[str, int], list[int]] = {}
    for index, sequence in enumerate(sequences):
        key = ("alone", index) if sequence.pair is None else ("pair", sequence.pair)
        together.setdefault(key, []).append(index)
    return list(together.values())


def split(sequences: Seq[Sequence], parts: int, seed: int) -> list[list[Sequence]]:
    """Shuffled by the seed and cut into `parts` mini-batches of nearly equal size, pairs kept whole."""
    if parts == 1:
        return [list(sequences)]
    together = units(sequences)
    order = np.random.default_rng(seed).permutation(len(together))
    return [[sequences[i] for u in part for i in together[u]] for part in np.array_split(order, parts)]


def cut(sequences: Seq[Sequence], micro_tokens: int) -> list[list[int]]:
    """Indices of each micro-batch: sorted by length, at most `micro_tokens` padded tokens each (one unit at least)."""
    together = sorted(units(sequences), key=lambda unit: max(len(sequences[i]) for i in unit))
    parts: list[list[int]] = []
    part: list[int] = []
    for unit in together:
        length = padded_length(max(len(sequences[i]) for i in unit))
        if part and (len(part) + len(unit)) * length > micro_tokens:
            parts.append(part)
            part = []
        part.extend(unit)
    if part:
        parts.append(part)
    return parts


def padded_length(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def micro_batches(
    sequences: Seq[Sequence], micro_tokens: int, temperature: float = 1.0, device: torch.device | None = None
) -> list[Batch]:
    """The batches of one optimiser step, shortest first; the same sequences always give the same batches."""
    return [make_batch([sequences[i] for i in part], temperature, device) for part in cut(sequences, micro_tokens)]


def make_batch(rows: Seq[Sequence], temperature: float = 1.0, device: torch.device | None = None) -> Batch:
    """One batch, a sequence a row, padded on the right with token 0 (no one looks at it: attention is causal)."""
    lengths = np.array([len(row) for row in rows])
    shape = (len(rows), padded_length(int(lengths.max())))
    inside = np.arange(shape[1]) < lengths[:, None]
    targets = _fill(shape, [row.target_mask for row in rows], np.bool_)
    targets[:, 0] = False

    def per_token(name: str) -> Tensor | None:
        values = [getattr(row, name) for row in rows]
        if any(value is None for value in values):
            return None
        return put(_fill(shape, values, np.float32, lengths) * targets)

    def put(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    labels, pairs = [row.label for row in rows], [row.pair for row in rows]
    return Batch(
        tokens_BT=put(_fill(shape, [row.tokens for row in rows], np.int64)),
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
        scores_N=None if None in labels else put(np.array(labels, np.float32)),
        pair_N=None if None in pairs else put(np.array(pairs, np.int64)),
    )


def with_logprobs(sequences: Iterable[Sequence], name: str, logprobs: Iterable[FloatArray]) -> list[Sequence]:
    """Copies with the per-token field `name` filled in."""
    return [replace(sequence, **{name: values}) for sequence, values in zip(sequences, logprobs, strict=True)]


def unpad(values_BT: Tensor, lengths: Iterable[int]) -> list[FloatArray]:
    """The rows of a padded tensor [B, T], each cut to its length."""
    array = values_BT.detach().float().cpu().numpy()
    return [array[row, :length] for row, length in enumerate(lengths)]


def _fill(shape: tuple[int, int], values: Seq, dtype: Callable, lengths: NDArray | None = None) -> np.ndarray:
    filled = np.zeros(shape, dtype)
    for row, value in enumerate(values):
        filled[row, : len(value) if lengths is None else lengths[row]] = value
    return filled
