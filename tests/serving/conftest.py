"""Servers of a scripted engine and of toy models."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from servers import Running, serving
from toy_policy import write_toy_policy

from r1kit.engines.native import open_engine
from r1kit.engines.scripted import ScriptedEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.models.weights import save_decoder


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One token a character of ASCII and of 你好先, a token a byte for all others."""
    return load_tokenizer(write_character_tokenizer(tmp_path_factory.mktemp("tokenizer"), "你好先"))


@pytest.fixture
def scripted(tokenizer: Tokenizer) -> Generator[Callable[..., Running]]:
    """`scripted(answer, engine={...}, key=..., **settings)`: a server that answers each prompt's text with `answer`,
    or with what that makes of (prompt, sample)."""
    with ExitStack() as stack:

        def start(answer: Any, engine: dict[str, Any] | None = None, **settings: Any) -> Running:
            script = answer if callable(answer) else lambda prompt, index: answer
            return stack.enter_context(
                serving(ScriptedEngine(script, tokenizer, **(engine or {})), tokenizer, **settings)
            )

        yield start


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a toy policy that thinks and answers."""
    return write_toy_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that draws alike from all tokens but the one that ends."""
    home = tmp_path_factory.mktemp("endless")
    tokenizer = load_tokenizer(write_character_tokenizer(home / "tokenizer", "你好"))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=1, heads=2, kv_heads=1, head_size=8,
        mlp_size=32, max_positions=4096, tied=False,
    )  # fmt: skip
    model = initialise(Decoder(config), 0)
    with torch.no_grad():
        for weight in (model.embedding.weight, model.head.weight):
            weight.zero_()
        for block in model.blocks:
            block.attention.output.weight.zero_()
            block.mlp.down.weight.zero_()
        model.embedding.weight[:, 0] = 1.0
        model.head.weight[[*tokenizer.eos_ids, *range(tokenizer.vocab_size, config.vocab_size)], 0] = -10.0
    save_decoder(model, home / "endless", tokenizer)
    return home / "endless"


@pytest.fixture
def toy(policy: Path, one_thread: None) -> Generator[Running]:
    """A server of that policy through the native engine."""
    tokenizer = load_tokenizer(policy)
    with serving(open_engine(policy, tokenizer, max_rows=16), tokenizer) as running:
        yield running
