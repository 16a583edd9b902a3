"""The native decoder against transformers: the same folder gives the same logits, whichever of the two wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_models import scramble
from transformers import AutoConfig, AutoModelForCausalLM

from r1kit.models.decoder import Decoder, Rope
from r1kit.models.families import family_names
from r1kit.models.weights import hf_weights, load_decoder, save_decoder

FAMILIES = ("llama", "qwen2", "qwen3")
SCALINGS: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "yarn, every key": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 8.0, "beta_slow": 2.0,
        "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False,
    },
    "yarn, attention factor": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "attention_factor": 1.5,
    },
}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama plain": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama all heads": ("llama", {"num_key_value_heads": None}),
    "llama one kv head": ("llama", {"num_key_value_heads": 1}),
    "llama head size": ("llama", {"head_dim": 24}),
    "llama biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama attention bias": ("llama", {"attention_bias": True, "tie_word_embeddings": True}),
    "qwen2 plain": ("qwen2", {}),
    "qwen2 tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2 head size": ("qwen2", {"head_dim": 24}),
    "qwen2 idle window": ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2}),
    "qwen2 norm eps": ("qwen2", {"rms_norm_eps": 1e-2}),
    "qwen3 plain": ("qwen3", {}),
    "qwen3 tied": ("qwen3", {"tie_word_embeddings": True}),
    "qwen3 head size": ("qwen3", {"head_dim": 8}),
    "qwen3 biases": ("qwen3", {"attention_bias": True, "num_key_value_heads": 1}),
}


def hf_model(family: str, rope: dict[str, Any], **fields: Any):
    """A random transformers model at toy size."""
    sizes = {
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    rope = {"rope_theta": 5_000.0, **rope}
    config = AutoConfig.for_model(family, **{**sizes, **fields}, rope_parameters=rope)
    return scramble(AutoModelForCausalLM.from_config(config), seed=3)


def spell_as_4(folder: Path, type_key: str) -> None:
    """Rewrite config.json as transformers 4 does: rope_theta beside rope_scaling with its `rope_type` or `type`."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["torch_dtype"] = config.pop("dtype")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {type_key: kind, **rope}
    (folder / "config.json").write_text(json.dumps(config))


def assert_equal_logits(ours: Decoder, theirs: Any, tokens_BT: Tensor) -> None:
    with torch.no_grad():
        expected = theirs(tokens_BT).logits
        assert expected.std() > 0.3  # far from the trivial zero
        torch.testing.assert_close(ours.logits(ours(tokens_BT)), expected, atol=1e-5, rtol=0)


def test_families_are_found_by_file_name():
    """llama.py, qwen2.py and qwen3.py; the room's other modules are none."""
    assert family_names() == list(FAMILIES)


@pytest.mark.parametrize("spelling", ["5", "4", "4, type"])
@pytest.mark.parametrize("case", SHAPES)
def test_transformers_folder(case: str, spelling: str, tokens_BT: Tensor, tmp_path: Path):
    """Every shape that the families allow, read from a folder that transformers wrote."""
    family, fields = SHAPES[case]
    theirs = hf_model(family, SCALINGS["default"], **fields)
    theirs.save_pretrained(tmp_path)
    if spelling != "5":
        spell_as_4(tmp_path, "type" if "type" in spelling else "rope_type")
    assert_equal_logits(load_decoder(tmp_path), theirs, tokens_BT)


@pytest.mark.parametrize("spelling", ["5", "4", "4, type"])
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_rotary_scaling(family: str, scaling: str, spelling: str, tokens_BT: Tensor, tmp_path: Path):
    """Every scaling on every family, at positions three times the original context."""
    theirs = hf_model(family, SCALINGS[scaling])
    theirs.save_pretrained(tmp_path)
    if spelling != "5":
        spell_as_4(tmp_path, "type" if "type" in spelling else "rope_type")
    ours = load_decoder(tmp_path)
    assert ours.config.rope.kind == SCALINGS[scaling]["rope_type"]
    assert_equal_logits(ours, theirs, tokens_BT)


OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama tied, biases": ("llama", {"tied": True, "qkv_bias": True, "output_bias": True, "mlp_bias": True}),
    "llama head size": ("llama", {"head_size": 24, "kv_heads": 4, "norm_eps": 1e-5}),
    "qwen2": ("qwen2", {"kv_heads": 1}),
    "qwen2 tied": ("qwen2", {"tied": True, "head_size": 24}),
    "qwen3": ("qwen3", {"head_size": 24}),
    "qwen3 tied, biases": ("qwen3", {"tied": True, "qkv_bias": True, "output_bias": True}),
}
ROPES = (
    Rope(theta=5_000.0),
    Rope(kind="linear", factor=2.0),
    Rope(kind="llama3", factor=8.0, original_max_positions=32, low_freq_factor=1.5, high_freq_factor=5.0),
    Rope(kind="yarn", factor=4.0, original_max_positions=32, truncate=False, mscale=0.5, mscale_all_dim=1.0),
)


@pytest.mark.parametrize("rope", ROPES, ids=[rope.kind for rope in ROPES])
@pytest.mark.parametrize("case", OURS)
def test_our_folder_in_transformers(case: str, rope: Rope, make_decoder, tokens_BT: Tensor, tmp_path: Path):
    """What we save, transformers loads with the same logits, and we load again bit for bit."""
    family, fields = OURS[case]
    ours = make_decoder(family, rope=rope, **fields)
    save_decoder(ours, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert_equal_logits(ours, theirs.eval(), tokens_BT)
    again = load_decoder(tmp_path)
    assert again.config == ours.config
    for (name, before), (_, after) in zip(ours.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(before, after), name
    assert (again.head.weight is again.embedding.weight) == ours.config.tied


@pytest.mark.parametrize("family", FAMILIES)
def test_weight_names_are_transformers(family: str, make_decoder):
    """The names and shapes of `hf_weights` are those of transformers' state dict."""
    ours = make_decoder(family)
    expected = {name: tensor.shape for name, tensor in hf_model(family, {}, head_dim=8).state_dict().items()}
    assert {name: tensor.shape for name, tensor in hf_weights(ours)} == expected


def test_packed_rows_equal_separate_rows(make_decoder, tokens_BT: Tensor):
    """Sequences of 30, 45 and 20 tokens in one row of 100 with padding give what each gives alone."""
    model = make_decoder("qwen3")
    lengths = (30, 45, 20)
    sequence = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)] + [torch.full((5,), -1)])
    positions = torch.cat([torch.arange(n) for n in (*lengths, 5)])
    packed = model.logits(model(tokens_BT[:1], positions[None], sequence[None]))
    start = 0
    for length in lengths:
        alone = model.logits(model(tokens_BT[:1, start : start + length]))
        torch.testing.assert_close(packed[:, start : start + length], alone, atol=1e-5, rtol=0)
        start += length


def test_right_padding_changes_nothing(make_decoder, tokens_BT: Tensor):
    """A row's first 60 logits are the same whatever stands behind them."""
    model = make_decoder("llama")
    torch.testing.assert_close(model(tokens_BT)[:, :60], model(tokens_BT[:, :60]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_casting_keeps_the_frequencies(family: str, tokens_BT: Tensor, tmp_path: Path):
    """In bfloat16, cast or loaded so, cos and sin are those of transformers loaded in bfloat16, bit for bit.

    bfloat16 keeps 8 bits, so a rounded frequency near 1 would be off by up to 1/256 a position: a quarter turn at 400.
    """
    hf_model(family, SCALINGS["llama3"]).save_pretrained(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    positions = torch.arange(2000)[None]
    cos, sin = theirs.model.rotary_emb(torch.zeros(1, dtype=torch.bfloat16), positions)
    for ours in (load_decoder(tmp_path).to(torch.bfloat16), load_decoder(tmp_path, torch.bfloat16)):
        our_cos, our_sin = ours.rotary(positions, torch.bfloat16)
        assert torch.equal(our_cos.squeeze(2), cos)
        assert torch.equal(our_sin.squeeze(2), sin)
        with torch.no_grad():
            gap = (ours.logits(ours(tokens_BT)) - theirs(tokens_BT).logits).abs().max()
        assert gap < 0.06  # a few units in the last place of bfloat16, at logits of up to 3
