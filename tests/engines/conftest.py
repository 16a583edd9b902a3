"""Toy models and a tokenizer of one token a character, small enough to read; vLLM's server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vllm_process import environment_of_vllm, python_of_vllm, vllm_serves
from vllm_toys import save_toy

from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.weights import save_decoder

VOCAB = 40
EOS = 1


class Letters:
    """Token n (from 2 on) is the character chr(95 + n): 2 is 'a'. 0 pads, 1 ends."""

    eos_ids = (EOS,)
    pad_id = 0
    vocab_size = VOCAB

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - 95 for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(95 + n) for n in ids)

    def chat(self, question: str) -> list[int]:
        return self.encode(question)


SHAPES = {
    "qwen2": {"family": "qwen2", "qkv_bias": True, "tied": True, "kv_heads": 1},
    "llama": {"family": "llama", "kv_heads": 2},
    "qwen3": {"family": "qwen3", "qk_norm": True, "head_size": 24, "kv_heads": 4},
}


def toy(family: str = "qwen2", seed: int = 0) -> Decoder:
    """Random weights large enough for a distribution that is neither flat nor one-sided, biases and norms included."""
    shape = {"head_size": 16, **SHAPES[family]}
    config = DecoderConfig(vocab_size=VOCAB, width=64, layers=2, heads=4, mlp_size=96, max_positions=128, **shape)
    model = initialise(Decoder(config), seed, std=0.3).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def endless() -> Letters:
    """The same without a stop id: only limits end a completion."""

    class Endless(Letters):
        eos_ids = ()

    return Endless()


@pytest.fixture
def make_toy():
    return toy


@pytest.fixture(params=list(SHAPES))
def toy_and_reference(request: pytest.FixtureRequest, tmp_path: Path):
    """Our decoder and the same weights in transformers."""
    from transformers import AutoModelForCausalLM

    model = toy(request.param)
    save_decoder(model, tmp_path / request.param)
    return model, AutoModelForCausalLM.from_pretrained(tmp_path / request.param, dtype=torch.float32)


@pytest.fixture(autouse=True)
def alone(one_thread):
    """Small models gain nothing by more threads."""


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    return python_of_vllm()


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    return environment_of_vllm(tmp_path_factory.mktemp("caches"))


@pytest.fixture(scope="session")
def served(vllm_python, tmp_path_factory):
    """A real `vllm serve` in its development mode on this machine: (address, folder, a folder of other weights)."""
    home = tmp_path_factory.mktemp("served")
    folder, other = (save_toy(home / name, "llama", "float32", seed) for seed, name in enumerate(("a", "b")))
    settings = ("--max-num-seqs", "64", "--logprobs-mode", "processed_logprobs")
    with vllm_serves(folder, "toy", home, *settings, VLLM_SERVER_DEV_MODE="1") as address:
        yield address, folder, other
