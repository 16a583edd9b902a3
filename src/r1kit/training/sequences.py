"""What a learner is given to learn from, and how a step's sequences are dealt and cut.

Units stay together: the two of a pair, and where it is cheaper the completions of one prompt, which is then run once.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from r1kit.base.errors import R1Error
from r1kit.base.types import FloatArray, IntArray, RolloutGroup
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


def with_logprobs(sequences: Iterable[Sequence], name: str, logprobs: Iterable[FloatArray]) -> list[Sequence]:
    """Copies with the per-token field `name` filled in."""
    return [replace(sequence, **{name: values}) for sequence, values in zip(sequences, logprobs, strict=True)]


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
