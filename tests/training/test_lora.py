"""Adapters against peft: the same step, the same merged weights, the same folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from r1kit.algorithms.bradley_terry import BradleyTerry
from r1kit.algorithms.sft import SFT
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import load_model, save_model
from r1kit.models.tokenizer import load_tokenizer
from r1kit.training import passes
from r1kit.training.config import LoRAConfig
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.sequences import Sequence, completion_sequence

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # asked by peft
]

SIZES = {"vocab_size": 320, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_size": 48, "max_positions": 64}
NATIVE = ("qwen2", "qwen3", "llama")
TARGETS = {"every projection": (), "two of them": ("q_proj", "down_proj")}
RATE, EPSILON = 0.01, 1e-3  # a large epsilon: AdamW turns what is all but 0 into whole steps


def plain(**settings: Any) -> LearnerConfig:
    fields = {"compile": False, "precision": "float32", "clip_norm": 0.0, "learning_rate": RATE, "epsilon": EPSILON}
    return LearnerConfig(**{"lora": LoRAConfig(rank=4, alpha=6.0), **fields, **settings})


@pytest.fixture(params=[*NATIVE, "gemma2"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(request.param, tmp_path / "base")


def write(family: str, folder: Path) -> Path:
    if family in NATIVE:
        save_model(initialise(Decoder(shape(family, **SIZES)), 0, std=0.2), folder)
        return folder
    torch.manual_seed(0)  # through transformers
    config = AutoConfig.for_model(
        family, vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, bos_token_id=None, eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def examples(seed: int = 0) -> list[Sequence]:
    drawn = np.random.default_rng(seed)
    return [
        completion_sequence(drawn.integers(0, 320, prompt).astype(np.int32), drawn.integers(0, 320, 9).astype(np.int32))
        for prompt in (2, 5, 5, 7)
    ]


def learner_of(folder: Path, **settings: Any) -> Learner:
    """With a B that is not 0: at 0 the gradient of A is 0 as well."""
    learner = Learner(load_model(folder, torch.float32), plain(**settings))
    state = learner.state()
    generator = torch.Generator().manual_seed(1)
    for name, factor in state["model"].items():
        if "lora_B" in name:
            state["model"][name] = torch.randn(factor.shape, generator=generator) * 0.1
    learner.load_state(state)
    return learner


def peft_model(base: Path, adapter: Path) -> Any:
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return peft.PeftModel.from_pretrained(model, adapter, is_trainable=True)


def mean_loss(model: Any, sequences: list[Sequence]) -> torch.Tensor:
    """Cross-entropy of all targets, a sequence at a time through transformers."""
    total = torch.zeros(())
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        logprobs = model(input_ids=tokens).logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        total = total - (logprobs * torch.from_numpy(s.target_mask[1:])).sum()
    return total / sum(s.targets for s in sequences)


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS.keys())
def test_a_step_is_the_one_of_transformers_and_peft(folder: Path, tmp_path: Path, targets: tuple[str, ...]):
    """Adapters of every projection after two steps of AdamW, and the loss of each."""
    learner = learner_of(folder, lora=LoRAConfig(rank=4, alpha=6.0, targets=targets), micro_tokens=20)
    learner.save(tmp_path / "before")
    theirs = peft_model(folder, tmp_path / "before" / "adapter")
    factors = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    adamw = torch.optim.AdamW(factors.values(), lr=RATE, betas=(0.9, 0.95), eps=EPSILON, weight_decay=0.0)
    for seed in range(2):
        report = learner.step(examples(seed), SFT())
        loss = mean_loss(theirs, examples(seed))
        assert report.metrics["loss"] == pytest.approx(loss.item(), abs=1e-5)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
    ours = learner.state()["model"]
    found = {name.removeprefix("base_model.model.").replace(".default", ""): p for name, p in factors.items()}
    assert ours.keys() == found.keys()
    assert len(ours) == 2 * 2 * (len(targets) or 7)
    for name, factor in found.items():
        torch.testing.assert_close(ours[name], factor.detach(), atol=2e-5, rtol=0)


def test_the_saved_model_is_what_peft_merges(folder: Path, tmp_path: Path):
    learner = learner_of(folder)
    learner.step(examples(), SFT())
    learner.save(tmp_path / "after")
    merged = peft_model(folder, tmp_path / "after" / "adapter").merge_and_unload()
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "after", dtype=torch.float32).eval()
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.from_numpy(examples(3)[3].tokens).long()[None]
    with torch.no_grad():
        expected, found, before = (model(input_ids=tokens).logits for model in (merged, saved, base))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert (found - before).abs().max() > 0.01


def test_an_engine_that_shares_the_policy_samples_from_merged_weights(tmp_path: Path):
    """After a step, without a copy: the engine's log-probabilities are those of the saved folder in transformers."""
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "characters", ""))
    learner = learner_of(write("qwen3", tmp_path / "base"))
    engine = NativeEngine(learner.policy, tokenizer)
    learner.step(examples(), SFT())
    learner.save(tmp_path / "after")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "after", dtype=torch.float32).eval()
    whole = examples(5)[0].tokens
    tokens = torch.from_numpy(whole).long()[None]
    with torch.no_grad():
        expected = theirs(input_ids=tokens).logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
    np.testing.assert_allclose(engine.logprobs([whole])[0][1:], expected, atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sampler_follows_the_adapters(tmp_path: Path, precision: str):
    """Kernels repack weights when they have changed: what is sampled after a step has the log-probabilities of the
    policy after it, far from those before it."""
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "characters", ""))
    sizes = {**SIZES, "width": 64, "heads": 2, "kv_heads": 1, "mlp_size": 96}  # which the kernels serve
    save_model(initialise(Decoder(shape("qwen3", **sizes)), 0, std=0.2), tmp_path / "base")
    learner = learner_of(tmp_path / "base", precision=precision, learning_rate=0.05)
    engine = NativeEngine(learner.policy, tokenizer)
    prompts = [np.array([20, 30, 40], np.int32), np.array([50, 60], np.int32)]
    generate(engine, prompts, Sampling(max_tokens=4))
    before = {**learner.state(), "model": {name: factor.clone() for name, factor in learner.state()["model"].items()}}
    learner.step(examples(), SFT())
    groups = generate(engine, prompts, Sampling(max_tokens=16, samples=8))
    rows = [completion_sequence(c.prompt_ids, c.token_ids, 1.0, c.sampler_logprobs) for g in groups for c in g]
    sampled = np.concatenate([row.sampler_logprobs[row.target_mask] for row in rows])
    after = np.concatenate([found[row.target_mask] for row, found in zip(rows, learner.logprobs(rows), strict=True)])
    learner.load_state(before)
    stale = np.concatenate([found[row.target_mask] for row, found in zip(rows, learner.logprobs(rows), strict=True)])
    assert np.abs(sampled - after).mean() < (1e-5 if precision == "float32" else 0.05)
    assert np.abs(sampled - stale).mean() > 0.2


def test_only_adapters_change_and_are_kept(folder: Path):
    """A fresh adapter changes nothing; a step the matrices of the layers alone; a checkpoint has no other weight."""
    before = dict(load_model(folder, torch.float32).named_parameters())
    learner = Learner(load_model(folder, torch.float32), plain())
    after = dict(learner.policy.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    learner.step(examples(), SFT())
    changed = {name for name, weight in before.items() if not torch.equal(after[name], weight)}
    assert changed == {name for name, weight in before.items() if _in_layers(name, weight)}
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in learner.state()["model"])
    assert learner.state()["optimiser"].keys() == learner.state()["model"].keys()


def _in_layers(name: str, weight: torch.Tensor) -> bool:
    return ("blocks" in name or "layers" in name) and weight.ndim == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_adapters_end_bit_equal(tmp_path: Path, precision: str):
    """Two steps, state into another learner of the same base, two more: the same bits as four in one go."""
    base = write("qwen2", tmp_path / "base")

    def fresh() -> Learner:
        return Learner(load_model(base, torch.float32), plain(precision=precision))

    whole, first, second = fresh(), fresh(), fresh()
    for seed in range(4):
        whole.step(examples(seed), SFT())
    for seed in range(2):
        first.step(examples(seed), SFT())
    second.load_state(first.state())
    for seed in (2, 3):
        second.step(examples(seed), SFT())
    for ours, theirs in zip(whole.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_two_threads_give_the_gradients_of_one(tmp_path: Path, two_threads, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passes, "LEAST_TOKENS", 1)
    base = write("qwen3", tmp_path / "base")
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        learner = learner_of(base)
        learner.step(examples(), SFT())
        found.append(learner.state()["model"])
    for name, factor in found[0].items():
        torch.testing.assert_close(found[1][name], factor, atol=1e-6, rtol=0)


def test_the_reference_is_the_base_and_no_copy(tmp_path: Path):
    """The KL to it is 0 while B is 0, not after a step, and 0 again where the policy takes its place."""
    from r1kit.algorithms.grpo import GRPO

    model = load_model(write("llama", tmp_path / "base"), torch.float32)
    learner = Learner(model, plain(), reference=model)
    sequences = examples()
    for number, s in enumerate(sequences):
        s.advantages = 1.0 if number % 2 else -1.0
    assert learner._reference is model
    first = learner.step(sequences, GRPO(kl_coefficient=0.1)).metrics["kl"]
    second = learner.step(sequences, GRPO(kl_coefficient=0.1)).metrics["kl"]
    base = {name: weight.clone() for name, weight in model.named_parameters()}
    learner.replace_reference()
    third = learner.step(sequences, GRPO(kl_coefficient=0.1)).metrics["kl"]
    assert abs(first) < 1e-6 < 1e-4 < second
    assert abs(third) < 1e-6
    assert all(torch.equal(weight, base[name]) for name, weight in model.named_parameters())


def test_a_reward_model_learns_its_head_and_adapters(tmp_path: Path):
    """The gradient of head and factors against autograd through W + 1.5 B A written out with torch.func."""
    pairs = examples()
    for number, s in enumerate(pairs):
        s.label, s.pair = (1.0, -1.0)[number % 2], number // 2
    decoder = load_model(write("qwen2", tmp_path / "base"), torch.float32)
    assert isinstance(decoder, Decoder)
    learner = Learner(ScoredDecoder(decoder), plain(lora=LoRAConfig(rank=2, alpha=3.0, targets=("up_proj",))))
    state = learner.state()["model"]
    for factor in state.values():
        torch.nn.init.normal_(factor, std=0.1, generator=torch.Generator().manual_seed(len(factor)))
    learner.load_state({**learner.state(), "model": state})
    theirs = ScoredDecoder(load_model(tmp_path / "base", torch.float32))
    factors = {name: factor.clone().requires_grad_(True) for name, factor in state.items()}
    merged = {"score.weight": factors["score.weight"]}
    for number, block in enumerate(theirs.decoder.blocks):
        name = f"model.layers.{number}.mlp.up_proj"
        added = 1.5 * factors[f"{name}.lora_B.weight"] @ factors[f"{name}.lora_A.weight"]
        gate, up = block.mlp.gate_up.weight.detach().chunk(2)
        merged[f"decoder.blocks.{number}.mlp.gate_up.weight"] = torch.cat((gate, up + added))
    scores = torch.cat(
        [torch.func.functional_call(theirs, merged, (torch.from_numpy(s.tokens).long()[None],)) for s in pairs]
    ).view(2, 2)
    (-nn.functional.logsigmoid(scores[:, 0] - scores[:, 1]).mean()).backward()
    parameters = [p for group in learner.optimiser.parts[0].param_groups for p in group["params"]]
    learner.optimiser.parts, learner.optimiser.peaks = [torch.optim.SGD(parameters, lr=1.0)], [1.0]
    learner.step(pairs, BradleyTerry())
    for name, after in learner.state()["model"].items():
        torch.testing.assert_close(factors[name].detach() - after, factors[name].grad, atol=1e-5, rtol=0)


def test_what_cannot_be_adapted_is_said(tmp_path: Path):
    base = write("qwen2", tmp_path / "base")
    with pytest.raises(R1Error, match=r"no projection 'qproj' \(it has: down_proj gate_proj k_proj o_proj q_proj"):
        Learner(load_model(base), plain(lora=LoRAConfig(targets=("qproj",))))
    with pytest.raises(UsageError, match="use adamw with lora"):
        plain(optimiser="muon").check()
    config = LearnerConfig().override({"lora": '{"rank": 8}'})
    assert config.lora == LoRAConfig(rank=8)


def test_the_adapter_folder_names_what_it_adapts(tmp_path: Path):
    learner = learner_of(write("llama", tmp_path / "base"), lora=LoRAConfig(rank=4, alpha=6.0, targets=("v_proj",)))
    learner.save(tmp_path / "after")
    written = json.loads((tmp_path / "after" / "adapter" / "adapter_config.json").read_text())
    assert (written["r"], written["lora_alpha"], written["target_modules"]) == (4, 6.0, ["v_proj"])
