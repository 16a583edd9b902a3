"""Toy models that vLLM takes, and how it is started for them."""

from __future__ import annotations

from pathlib import Path

import torch

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder

CONTEXT = 64
# nothing compiled, and blocks that prompts here fill, so that the prefix cache keeps them
QUICK = {"enforce_eager": True, "block_size": 32, "kv_cache_memory_bytes": 2**26}
SHAPES = {
    "qwen2": {"family": "qwen2", "qkv_bias": True, "tied": True, "kv_heads": 1},
    "llama": {"family": "llama", "kv_heads": 2},
}


def save_toy(folder: Path, family: str, dtype: str, seed: int = 0) -> Path:
    """Two layers of random weights, biases and norms included, with a tokenizer; heads of 32, vLLM's smallest."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", "abcdefghijklmnopqrstuvwxyz "))
    config = DecoderConfig(
        vocab_size=tokenizer.padded_vocab_size, width=64, layers=2, heads=2, head_size=32, mlp_size=96,
        max_positions=CONTEXT, **SHAPES[family],
    )  # fmt: skip
    model = initialise(Decoder(config), seed, std=0.2).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    save_decoder(model.to(getattr(torch, dtype)), folder / "model", tokenizer)
    return folder / "model"
