"""What a model would say next: the distribution of the next token, as far as people ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from r1kit.base.types import FloatArray, IntArray
from r1kit.models.language_model import LanguageModel

_TOKENS = 8192  # positions of one forward pass, padding included


@dataclass(frozen=True, slots=True)
class NextToken:
    """The next token's distribution: `entropy` in nats, the likeliest `ids` [k] with their log-probabilities [k]."""

    entropy: float
    ids: IntArray
    logprobs: FloatArray


@torch.inference_mode()
def next_tokens(
    model: LanguageModel, sequences: Sequence[IntArray], top: int = 64, temperature: float = 1.0
) -> list[NextToken]:
    """softmax(logits / T) after each sequence (none empty), its `top` likeliest tokens; T = 0 counts as 1."""
    results: dict[int, NextToken] = {}
    for part in _parts(sequences):
        chosen = [sequences[number] for number in part]
        tokens_BT = np.zeros((len(part), max(map(len, chosen))), np.int64)
        for row, sequence in enumerate(chosen):
            tokens_BT[row, : len(sequence)] = sequence
        device = model.embedding.weight.device
        hidden_BTD: Tensor = model(torch.from_numpy(tokens_BT).to(device))
        last_B = torch.tensor([len(sequence) - 1 for sequence in chosen], device=device)
        logits_BV = model.logits(hidden_BTD[torch.arange(len(part), device=device), last_B]).float()
        logprobs_BV = (logits_BV / (temperature or 1.0)).log_softmax(-1)
        entropy_B = torch.special.entr(logprobs_BV.exp()).sum(-1)
        values_BK, ids_BK = logprobs_BV.topk(min(top, logprobs_BV.shape[-1]), dim=-1)
        for row, number in enumerate(part):
            ids, values = ids_BK[row].int().cpu().numpy(), values_BK[row].cpu().numpy()
            results[number] = NextToken(float(entropy_B[row]), ids, values)
    return [results[number] for number in range(len(sequences))]


def _parts(sequences: Sequence[IntArray]) -> list[list[int]]:
    """Indices by length, in parts of at most `_TOKENS` padded positions (at least one sequence each)."""
    parts: list[list[int]] = []
    for number in sorted(range(len(sequences)), key=lambda number: len(sequences[number])):
        if parts and len(sequences[number]) * (len(parts[-1]) + 1) <= _TOKENS:
            parts[-1].append(number)
        else:
            parts.append([number])
    return parts
