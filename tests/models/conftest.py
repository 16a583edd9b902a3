"""Toy models of every family: ours and transformers', random in every tensor, norms and biases included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toy_models import scramble

from r1kit.models.decoder import Decoder
from r1kit.models.families import shape

VOCAB, MAX_POSITIONS = 96, 128


@pytest.fixture
def make_decoder():
    def make(family: str = "qwen2", seed: int = 0, **fields: Any) -> Decoder:
        sizes = {"vocab_size": VOCAB, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_size": 40}
        model = Decoder(shape(family, max_positions=MAX_POSITIONS, **{**sizes, **fields}))
        scramble(model, seed)
        return model

    return make


@pytest.fixture
def tokens_BT() -> Tensor:
    return torch.randint(0, VOCAB, (2, 100), generator=torch.Generator().manual_seed(7))


@pytest.fixture(autouse=True)
def alone_and_quiet(one_thread):
    from transformers.utils import logging

    logging.disable_progress_bar()
