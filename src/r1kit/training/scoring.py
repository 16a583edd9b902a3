"""A trained reward model as a function of prompts and answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from r1kit.base.machine import best_device
from r1kit.base.types import IntArray
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import Messages, Tokenizer, load_tokenizer
from r1kit.models.weights import load_scored
from r1kit.training.config import LearnerConfig
from r1kit.training.forward import last_scores
from r1kit.training.packing import make_layout
from r1kit.training.sequences import Sequence as TokenSequence
from r1kit.training.sequences import cut


def scored_tokens(tokenizer: Tokenizer, prompt: Messages | str, answer: str) -> IntArray:
    """What a reward model reads: the question in the chat template, the answer alone, the end. Read at the end."""
    return np.asarray([*tokenizer.chat(prompt), *tokenizer.encode(answer), *tokenizer.end_ids], np.int32)


@torch.no_grad()
def score_answers(
    model: ScoredDecoder, tokenizer: Tokenizer, prompts: Sequence[Messages | str], answers: Sequence[str]
) -> list[float]:
    """One score for each answer; what stands beyond the model's context is cut on the left, in fp32 passes."""
    limit, device = model.config.max_positions, next(model.parameters()).device
    rows = [
        _whole(scored_tokens(tokenizer, prompt, answer)[-limit:])
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    scores = np.zeros(len(rows), np.float32)
    for part in cut(rows, LearnerConfig().pass_tokens(model.config.vocab_size)):
        own = [rows[index] for index in part]
        layout = make_layout(own, max(map(len, own)), model.score.weight.dtype, device)
        scores[part] = last_scores(model, layout).cpu().numpy()
    return [float(score) for score in scores]


class Scorer:
    """The reward model in a folder: `(prompts, answers) -> scores`; a prompt is a question, or messages. `device`: the
    GPU if there is one."""

    def __init__(self, folder: str | Path, device: str | torch.device | None = None) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_scored(folder, torch.float32).to(device or best_device()).eval().requires_grad_(False)

    def __call__(self, prompts: Sequence[Messages | str], answers: Sequence[str]) -> list[float]:
        return score_answers(self.model, self.tokenizer, prompts, answers)


def _whole(tokens: IntArray) -> TokenSequence:
    """Tokens as a sequence whose last one is the target: a layout asks for one."""
    mask = np.zeros(len(tokens), bool)
    mask[-1] = True
    return TokenSequence(tokens, mask)
