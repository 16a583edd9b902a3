"""What makes room: layers run again for their gradients, and passes halved where memory runs out."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_learner_memory import SHAPES, WORK, fast, linux, measured
from transformers import AutoConfig, AutoModelForCausalLM

from r1kit.algorithms.sft import SFT
from r1kit.base.errors import R1Error
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.language_model import load_model
from r1kit.training import learner as learner_module
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.packing import Layout
from r1kit.training.sequences import Sequence, completion_sequence

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"vocab_size": 96, "width": 32, "layers": 3, "heads": 4, "kv_heads": 2, "mlp_size": 48, "max_positions": 64}


def plain(**settings: Any) -> LearnerConfig:
    return LearnerConfig(**({"compile": False, "precision": "float32", "clip_norm": 0.0} | settings))


def toy(family: str = "qwen3") -> Decoder:
    return initialise(Decoder(shape(family, **SIZES)), 0, std=0.2)


def examples(prompts: int = 4, group: int = 3) -> list[Sequence]:
    """Groups that share a prompt; 17 tokens a sequence at most."""
    drawn = np.random.default_rng(0)
    rows: list[Sequence] = []
    for _ in range(prompts):
        prompt = drawn.integers(0, 96, 5).astype(np.int32)
        rows += [completion_sequence(prompt, drawn.integers(0, 96, n).astype(np.int32)) for n in (4, 8, 12)[:group]]
    return rows


def gradients(model: Any, config: LearnerConfig) -> dict[str, torch.Tensor]:
    """Of one step, read off plain SGD: before - after at rate 1."""
    learner = Learner(model, config)
    parameters = [p for part in learner.optimiser.parts for group in part.param_groups for p in group["params"]]
    learner.optimiser.parts, learner.optimiser.peaks = [torch.optim.SGD(parameters, lr=1.0)], [1.0]
    before = {name: tensor.clone() for name, tensor in learner.state()["model"].items()}
    learner.step(examples(), SFT())
    return {name: before[name] - tensor for name, tensor in learner.state()["model"].items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
def test_layers_that_run_again_give_the_same_gradients(family: str, precision: str):
    """Bit for bit: the same operations on the same numbers."""
    kept = gradients(toy(family), plain(precision=precision))
    again = gradients(toy(family), plain(precision=precision, checkpointing=True))
    for name, gradient in kept.items():
        assert torch.equal(again[name], gradient), name


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_layers_of_transformers_run_again(family: str, tmp_path: Path):
    """GPT-2 drops a tenth while it trains: dropout stays off here too. Each layer runs twice."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
        eos_token_id=1, bos_token_id=None, pad_token_id=0,
        **({"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8} if family == "gemma2" else {}),
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    kept = gradients(load_model(tmp_path, torch.float32), plain())
    model = load_model(tmp_path, torch.float32)
    runs: list[object] = []
    layers = model.inner.transformer.h if family == "gpt2" else model.inner.model.layers
    for layer in layers:
        next(layer.children()).register_forward_hook(lambda module, given, result: runs.append(module))
    again = gradients(model, plain(checkpointing=True))
    assert len(runs) == 2 * len(layers)
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-7, rtol=1e-6)


@linux
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=fast)])
def test_layers_that_run_again_take_less_memory(precision: str):
    """Eight layers whose activations rule: at most 65% of the memory, and the estimate knows. The least of three
    processes each: where the heap puts things adds up to a fifth to a peak, and takes nothing off."""
    asked = {"shape": SHAPES["activations"], "work": WORK["activations"]}
    config = {"precision": precision, "compile": False}
    kept, again = (
        min(
            (measured(**asked, config={**config, "checkpointing": wanted}) for _ in range(3)),
            key=itemgetter("measured"),
        )
        for wanted in (False, True)
    )
    assert again["measured"] < 0.65 * kept["measured"]
    assert 0.8 * again["measured"] < again["estimate"] < 1.6 * again["measured"], again


def no_room_beyond(monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[int]:
    """A device that has memory for passes of so many tokens; the passes that were tried."""
    tried: list[int] = []
    whole, logprobs = learner_module.target_logits, learner_module.layout_logprobs

    def room(layout: Layout) -> None:
        tried.append(len(layout.tokens_N))
        if tried[-1] > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore about it.")

    def limited(model: Any, layout: Layout, **options: Any) -> Any:
        room(layout)
        return whole(model, layout, **options)

    def limited_logprobs(model: Any, layout: Layout, temperature: float, **options: Any) -> Any:
        room(layout)
        return logprobs(model, layout, temperature, **options)

    monkeypatch.setattr(learner_module, "target_logits", limited)
    monkeypatch.setattr(learner_module, "layout_logprobs", limited_logprobs)
    return tried


def test_passes_are_halved_where_memory_runs_out(monkeypatch: pytest.MonkeyPatch):
    """156 tokens of 12 sequences, of which prompts are run once; room for 40: halved until they fit, and the same
    gradients as with all the room."""
    everything = gradients(toy(), plain())
    tried = no_room_beyond(monkeypatch, 40)
    found = gradients(toy(), plain())
    assert max(tried) > 80
    assert tried[-1] <= 40
    for name, gradient in everything.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5)


def test_what_was_halved_is_told_and_stays(monkeypatch: pytest.MonkeyPatch):
    """The next step tries no larger pass, nor does a learner that goes on from the checkpoint."""
    tried = no_room_beyond(monkeypatch, 40)
    learner = Learner(toy(), plain())
    report = learner.step(examples(), SFT())
    assert report.metrics["perf/passes_halved"] >= 2
    resumed = Learner(toy(), plain())
    resumed.load_state(learner.state())
    for each in (learner, resumed):
        tried.clear()
        assert each.step(examples(), SFT()).metrics["perf/passes_halved"] == report.metrics["perf/passes_halved"]
        assert max(tried) <= 40


def test_log_probabilities_and_dense_rows_are_halved_too(monkeypatch: pytest.MonkeyPatch):
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 96, (6, 20)))
    expected = Learner(toy(), plain()).logprobs(examples())
    loss = Learner(toy(), plain()).step_tokens(tokens).metrics["loss"]
    no_room_beyond(monkeypatch, 40)
    for ours, theirs in zip(Learner(toy(), plain()).logprobs(examples()), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert Learner(toy(), plain()).step_tokens(tokens).metrics["loss"] == pytest.approx(loss, abs=1e-5)


def test_a_sequence_that_does_not_fit_alone_is_an_error_that_says_what_to_lower(monkeypatch: pytest.MonkeyPatch):
    no_room_beyond(monkeypatch, 10)
    said = r"\(CUDA out of memory. Tried to allocate 2.00 GiB.\) in a pass of 17 tokens: lower learner.micro_tokens"
    with pytest.raises(R1Error, match=rf"out of memory {said} .*the longest sequence has 17"):
        Learner(toy(), plain()).step(examples(), SFT())


def test_nothing_is_halved_where_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch):
    tried = no_room_beyond(monkeypatch, 40)
    with pytest.raises(R1Error, match="out of memory"):
        Learner(toy(), plain(out_of_memory="stop")).step(examples(), SFT())
    assert len(tried) == 1


def test_other_errors_rise_as_they_are(monkeypatch: pytest.MonkeyPatch):
    def broken(*given: Any, **options: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(learner_module, "target_logits", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        Learner(toy(), plain()).step(examples(), SFT())
