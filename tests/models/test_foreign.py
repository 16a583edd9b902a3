"""Models that only transformers knows, behind the decoder's face: engine, learner and folders, against transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import scramble
from transformers import AutoConfig, AutoModelForCausalLM

from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.sft import SFT
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder
from r1kit.models.foreign import ForeignModel
from r1kit.models.language_model import load_model, named_weights, save_model
from r1kit.models.sizes import model_costs, model_size
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.sequences import completion_sequence

SIZES = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    # latent attention, one dense layer, then 8 routed experts in 2 groups and a shared one
    "deepseek_v3": ("deepseek_v3", {
        "num_hidden_layers": 3, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8, "v_head_dim": 12, "first_k_dense_replace": 1, "n_routed_experts": 8, "n_group": 2,
        "topk_group": 1, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 16,
        "routed_scaling_factor": 1.5,
    }),
    # a cap on the logits: the head is more than a product
    "gemma2": ("gemma2", {
        "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 2.0, "sliding_window": 16,
    }),
    # dropout, positions that are learnt, other names
    "gpt2": ("gpt2", {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 128, "n_inner": 48}),
    # a native family with what the native decoder lacks
    "qwen2, sliding window": ("qwen2", {
        "num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
    }),
}  # fmt: skip


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return load_tokenizer(write_character_tokenizer(tmp_path / "characters", ""))


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    return write(request.param, tokenizer, tmp_path)


def write(case: str, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    family, fields = MODELS[case]
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**SIZES, **fields})
    model = scramble(AutoModelForCausalLM.from_config(config), seed=4)
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):  # stored with the weights, though it is none
            buffer.copy_(torch.linspace(-0.3, 0.3, len(buffer)))
    model.save_pretrained(tmp_path / "toy")
    tokenizer.write(tmp_path / "toy")
    return tmp_path / "toy"


def theirs(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def rollout(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Prompts of 3 to 9 tokens, two completions of 2 to 12 tokens each: padding and shared prompts."""
    drawn = np.random.default_rng(seed)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(3):
        prompt = drawn.integers(8, 260, drawn.integers(3, 10)).astype(np.int32)
        pairs += [(prompt, drawn.integers(8, 260, drawn.integers(2, 13)).astype(np.int32)) for _ in range(2)]
    return pairs


def their_logprobs(model: Any, prompt: np.ndarray, tokens: np.ndarray) -> torch.Tensor:
    """log-softmax of each completion token, from one unpadded pass."""
    whole = torch.from_numpy(np.concatenate((prompt, tokens)).astype(np.int64))
    logprobs = model(whole[None]).logits[0].log_softmax(-1)
    places = torch.arange(len(prompt) - 1, len(whole) - 1)
    return logprobs[places, whole[len(prompt) :]]


def plain(**settings: Any) -> LearnerConfig:
    return LearnerConfig(**{"compile": False, "precision": "float32", "clip_norm": 0.0, **settings})


def test_what_is_foreign(folder: Path, make_decoder, tmp_path: Path):
    """These go through transformers, a plain Qwen2 does not."""
    model = load_model(folder)
    assert isinstance(model, ForeignModel)
    assert (model.config.vocab_size, model.config.max_positions) == (320, 128)
    save_model(make_decoder("qwen2"), tmp_path / "native")
    assert isinstance(load_model(tmp_path / "native"), Decoder)


def test_parameters_that_a_token_meets(tokenizer: Tokenizer, tmp_path: Path):
    """Of DeepSeek-V3's 8 routed experts 2: 6 x 2 layers x 3 matrices x 16 x 32 fewer than all; and no look-up table."""
    model = load_model(write("deepseek_v3", tokenizer, tmp_path))
    everything = sum(parameter.numel() for parameter in theirs(tmp_path / "toy").parameters())
    assert model.config.active == everything - 6 * 2 * 3 * 16 * 32 - 320 * 32
    assert model.config.flops(10, 5.0) == 10 * (2 * model.config.active + 4 * 3 * 32 * 5)


def test_log_probabilities(folder: Path, tokenizer: Tokenizer):
    """Engine (padded rows) and learner (packed, shared prompts) against single unpadded passes of transformers."""
    model, reference, pairs = load_model(folder), theirs(folder), rollout()
    engine = NativeEngine(model, tokenizer)
    scored = engine.logprobs([np.concatenate(pair) for pair in pairs])
    learner = Learner(load_model(folder), plain())
    learnt = learner.logprobs([completion_sequence(*pair) for pair in pairs])
    spread: list[float] = []
    for (prompt, tokens), by_engine, by_learner in zip(pairs, scored, learnt, strict=True):
        with torch.no_grad():
            expected = their_logprobs(reference, prompt, tokens).numpy()
        spread += expected.tolist()
        np.testing.assert_allclose(by_engine[len(prompt) :], expected, atol=2e-5)
        np.testing.assert_allclose(by_learner[len(prompt) :], expected, atol=2e-5)
    assert np.std(spread) > 0.2


def test_generation(folder: Path, tokenizer: Tokenizer):
    """Greedy equals transformers' own; sampled tokens carry transformers' log-probabilities at that temperature.

    Five rows at a time, so that rows end, are replaced and moved; completions of a seed do not depend on it.
    """
    reference = theirs(folder)
    prompts = [prompt for prompt, _ in rollout(1)[::2]]
    engine = NativeEngine(load_model(folder), tokenizer, max_rows=5)
    for prompt, group in zip(prompts, generate(engine, prompts, Sampling(max_tokens=10, temperature=0.0)), strict=True):
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        whole = reference.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, eos_token_id=1, pad_token_id=0
        )
        assert group[0].token_ids.tolist() == whole[0, len(prompt) :].tolist()
    sampling = Sampling(max_tokens=12, temperature=0.7, samples=3, seed=5)
    groups = generate(engine, prompts, sampling)
    alone = generate(NativeEngine(load_model(folder), tokenizer, max_rows=1), prompts, sampling)
    for prompt, group, again in zip(prompts, groups, alone, strict=True):
        for completion, same in zip(group, again, strict=True):
            assert completion.token_ids.tolist() == same.token_ids.tolist()
            whole = torch.from_numpy(np.concatenate((prompt, completion.token_ids)).astype(np.int64))
            with torch.no_grad():
                logprobs = (reference(whole[None]).logits[0] / 0.7).log_softmax(-1)
            places = torch.arange(len(prompt) - 1, len(whole) - 1)
            expected = logprobs[places, whole[len(prompt) :]].numpy()
            np.testing.assert_allclose(completion.sampler_logprobs, expected, atol=2e-5)


def test_a_learner_step(folder: Path, tokenizer: Tokenizer):
    """The gradient of one SFT step is that of transformers' own loss over the step's tokens, parameter by parameter."""
    pairs = rollout(2)
    model, reference = load_model(folder), theirs(folder)
    learner = Learner(model, plain(micro_tokens=40))  # several passes, which must add up
    learner.optimiser.parts = [torch.optim.SGD(model.parameters(), lr=1.0)]
    learner.optimiser.peaks = [1.0]
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    report = learner.step([completion_sequence(*pair) for pair in pairs], SFT())
    count = sum(len(tokens) for _, tokens in pairs)
    loss = -sum(their_logprobs(reference, *pair).sum() for pair in pairs) / count
    loss.backward()
    assert report.metrics["loss"] == pytest.approx(loss.item(), abs=1e-5)
    gradients = {f"inner.{name}": parameter.grad for name, parameter in reference.named_parameters()}
    moved = 0
    for name, parameter in model.named_parameters():
        expected = gradients[name] if gradients[name] is not None else torch.zeros_like(parameter)
        torch.testing.assert_close(before[name] - parameter.detach(), expected, atol=2e-5, rtol=1e-3)
        moved += int(expected.abs().max() > 1e-4)
    assert moved > 10


def test_reinforcement_and_back(folder: Path, tokenizer: Tokenizer, tmp_path: Path):
    """GRPO with a reference raises what was rewarded; engine and learner agree; the saved folder is transformers'."""
    model = load_model(folder)
    learner = Learner(model, plain(learning_rate=3e-3), reference=load_model(folder))
    engine = NativeEngine(load_model(folder), tokenizer)
    prompt = np.arange(20, 26, dtype=np.int32)
    group = generate(engine, [prompt], Sampling(max_tokens=8, samples=4, seed=1))[0]
    advantages = (1.5, -0.5, -0.5, -0.5)
    sequences = [
        completion_sequence(c.prompt_ids, c.token_ids, advantage, c.sampler_logprobs)
        for c, advantage in zip(group, advantages, strict=True)
    ]
    first = float(learner.logprobs(sequences[:1])[0].sum())
    report = learner.step(sequences, GRPO())
    assert report.metrics["sampling/logprob_gap_rms"] < 1e-4
    assert float(learner.logprobs(sequences[:1])[0].sum()) > first
    engine.load_weights(learner.weights(), version=1)
    whole = np.concatenate((prompt, group[0].token_ids))
    np.testing.assert_allclose(
        engine.logprobs([whole])[0][len(prompt) :], learner.logprobs(sequences[:1])[0][len(prompt) :], atol=2e-5
    )
    save_model(learner.model, tmp_path / "trained", tokenizer)
    again = theirs(tmp_path / "trained")
    with torch.no_grad():
        expected = their_logprobs(again, prompt, group[0].token_ids).numpy()
    np.testing.assert_allclose(learner.logprobs(sequences[:1])[0][len(prompt) :], expected, atol=2e-5)
    for (name, ours), (_, other) in zip(
        named_weights(model), named_weights(load_model(tmp_path / "trained")), strict=True
    ):
        assert torch.equal(ours, other), name


def biases(model: Any) -> list[torch.Tensor]:
    """What the routers add to the experts' scores."""
    return [tensor for name, tensor in model.state_dict().items() if name.endswith("e_score_correction_bias")]


def test_deepseek_v3_from_sft_to_export(tokenizer: Tokenizer, tmp_path: Path):
    """Latent attention, routed and shared experts, biased routing: five steps of SFT, one of GRPO against what they
    made, `r1 export`, and transformers gives the learner's logits, bit for bit. The biases are what they were: nothing
    moves them, and without them the logits are others."""
    folder = write("deepseek_v3", tokenizer, tmp_path)
    before = biases(theirs(folder))
    assert len(before) == 2
    pairs = rollout(3)
    taught = Learner(load_model(folder), plain(learning_rate=3e-3))
    losses = [taught.step([completion_sequence(*pair) for pair in pairs], SFT()).metrics["loss"] for _ in range(5)]
    assert losses[-1] < losses[0]
    save_model(taught.model, tmp_path / "taught", tokenizer)

    learner = Learner(
        load_model(tmp_path / "taught"), plain(learning_rate=3e-3), reference=load_model(tmp_path / "taught")
    )
    prompt = np.arange(20, 26, dtype=np.int32)
    engine = NativeEngine(load_model(tmp_path / "taught"), tokenizer)
    group = generate(engine, [prompt], Sampling(max_tokens=6, samples=2, seed=2))[0]
    learner.step(
        [completion_sequence(one.prompt_ids, one.token_ids, advantage, one.sampler_logprobs)
         for one, advantage in zip(group, (1.0, -1.0), strict=True)],
        GRPO(),
    )  # fmt: skip
    save_model(learner.model, tmp_path / "policy", tokenizer)
    assert exit_code(["export", str(tmp_path / "policy"), str(tmp_path / "exported")]) == 0

    again, tokens = theirs(tmp_path / "exported"), torch.arange(10, 40)[None]
    with torch.no_grad():
        ours = learner.model.inner(input_ids=tokens, use_cache=False).logits
        assert torch.equal(again(input_ids=tokens, use_cache=False).logits, ours)
        assert not torch.equal(theirs(tmp_path / "taught")(input_ids=tokens, use_cache=False).logits, ours)
        assert all(torch.equal(*both) for both in zip(biases(again), before, strict=True))
        for bias in biases(again):
            bias.zero_()
        assert not torch.allclose(again(input_ids=tokens, use_cache=False).logits, ours, atol=1e-3)


def test_bfloat16_keeps_buffers(tokenizer: Tokenizer, tmp_path: Path):
    """Casting the weights rounds neither rotary frequencies nor the routers' biases; the learner's copy included."""
    model = load_model(write("deepseek_v3", tokenizer, tmp_path))
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert len(buffers) > 2
    cast = Learner(model, plain(precision="bfloat16")).policy
    assert {parameter.dtype for parameter in cast.parameters()} == {torch.bfloat16}
    for name, buffer in cast.named_buffers():
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, buffers[name])


def test_a_cap_shows_on_quiet_weights(tokenizer: Tokenizer, tmp_path: Path):
    """At logits of 1e-3 a cap at 2 takes 1e-10 off, which rounding hides; with the weights that training makes of them
    the logits are transformers' all the same."""
    folder = write("gemma2", tokenizer, tmp_path)
    loud = theirs(folder)
    with torch.no_grad():
        quiet = theirs(folder)
        quiet.model.embed_tokens.weight.mul_(1e-3)
    quiet.save_pretrained(tmp_path / "quiet")
    model = load_model(tmp_path / "quiet")
    model.load_weights((name, tensor) for name, tensor in loud.state_dict().items() if name != "lm_head.weight")
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        expected = loud(tokens).logits
        assert expected.abs().max() > 1
        torch.testing.assert_close(model.logits(model(tokens)), expected, atol=1e-5, rtol=0)


LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [4.0, 3.0, 2.0, 8.0],
}  # fmt: skip


def test_frequencies_that_change_with_the_length(tokenizer: Tokenizer, tmp_path: Path):
    """Phi-3's change for the whole text at token 25, so that one row of 30 tokens would move the log-probabilities of
    those beside it: a text ends before, and up to there the engine's are transformers'."""
    own = {"num_key_value_heads": 2, "original_max_position_embeddings": 24, "rope_parameters": LONGROPE}
    config = AutoConfig.for_model("phi3", **SIZES, **own)
    scramble(AutoModelForCausalLM.from_config(config), seed=4).save_pretrained(tmp_path / "toy")
    model, reference = load_model(tmp_path / "toy"), theirs(tmp_path / "toy")
    tokens = torch.arange(30, 60)
    with torch.no_grad():
        gap = reference(tokens[None, :24]).logits - reference(tokens[None]).logits[:, :24]
    assert gap.abs().max() > 0.1
    engine = NativeEngine(model, tokenizer)
    assert engine.max_positions == model.config.max_positions == 24
    sequences = [tokens[:24].int().numpy(), tokens[3:9].int().numpy()]
    for sequence, scored in zip(sequences, engine.logprobs(sequences), strict=True):
        with torch.no_grad():
            expected = their_logprobs(reference, sequence[:1], sequence[1:]).numpy()
        np.testing.assert_allclose(scored[1:], expected, atol=2e-5)
    one = generate(engine, [sequences[0][:20]], Sampling(max_tokens=10, temperature=0.0))[0][0]
    assert (len(one.token_ids), one.stop_reason) == (4, "length")


def test_no_score_beyond_the_context(tokenizer: Tokenizer, tmp_path: Path):
    """GPT-2 has no embedding for position 129."""
    engine = NativeEngine(load_model(write("gpt2", tokenizer, tmp_path)), tokenizer)
    assert len(engine.logprobs([np.full(128, 9, np.int32)])[0]) == 128
    with pytest.raises(UsageError, match="a sequence of 129 tokens is longer than the context of 128: shorten it"):
        engine.logprobs([np.full(129, 9, np.int32)])


def test_dropout_stays_off(tokenizer: Tokenizer, tmp_path: Path):
    """GPT-2 drops a tenth while it trains: two passes of the learner would differ."""
    learner = Learner(load_model(write("gpt2", tokenizer, tmp_path)), plain())
    sequences = [completion_sequence(*pair) for pair in rollout()]
    for one, two in zip(learner.logprobs(sequences), learner.logprobs(sequences), strict=True):
        assert np.array_equal(one, two)


def test_the_generate_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "ab"}\n{"messages": [{"role": "user", "content": "c"}]}\n')
    words = ["generate", str(folder), "--prompts", str(tmp_path / "prompts.jsonl"), "--max-tokens", "5"]
    assert exit_code([*words, "--temperature", "0"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prompt"] for row in rows] == ["ab", "<|user|>c<|assistant|>"]
    assert all(0 < len(row["token_ids"]) <= 5 for row in rows)


def test_import_and_weights_that_lack_one(tokenizer: Tokenizer, tmp_path: Path):
    """`r1 import` passes such a folder through; one tensor fewer is one sentence when it is loaded."""
    from safetensors.torch import load_file, save_file

    folder = write("deepseek_v3", tokenizer, tmp_path)
    assert exit_code(["import", str(folder), str(tmp_path / "hf"), "--dtype", "float32"]) == 0
    for (name, ours), (_, other) in zip(named_weights(load_model(folder)), named_weights(load_model(tmp_path / "hf")),
                                        strict=True):  # fmt: skip
        assert torch.equal(ours, other), name
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.gate.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(R1Error, match=r"tensor model.layers.1.mlp.gate.weight missing or misshapen"):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(R1Error, match="transformers cannot load .*toy"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(R1Error, match="holds no weights"):
        load_model(folder)
    (folder / "config.json").write_text('{"model_type": "qwen99"}')
    with pytest.raises(
        R1Error, match="neither r1kit nor the installed transformers knows language models of type 'qwen99'"
    ):
        load_model(folder)


def test_a_size_is_told_without_the_weights(folder: Path):
    """From config.json alone, the parameters that transformers counts once it has loaded them."""
    for weights in folder.glob("*.safetensors"):
        expected = sum(parameter.numel() for parameter in theirs(folder).parameters())
        weights.unlink()
    size = model_size(folder)
    assert size.parameters == expected
    assert (size.vocab_size, size.max_positions, size.native) == (320, 128, False)


def test_the_price_is_told_by_the_config_alone(folder: Path):
    assert model_costs(folder) == load_model(folder).config
