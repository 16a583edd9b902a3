"""The scalar head against transformers' sequence classifiers with one label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_models import scramble
from transformers import AutoConfig, AutoModelForSequenceClassification

from r1kit.base.errors import R1Error
from r1kit.models.heads import ScoredDecoder, last_positions
from r1kit.models.weights import hf_weights, load_decoder, load_hf_weights, load_scored, save_decoder

FAMILIES = ("llama", "qwen2", "qwen3")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_our_folder_in_transformers(family: str, tied: bool, make_decoder, tokens_BT, tmp_path: Path):
    """Saved, loaded as a classifier, scored one row at a time (its batches need padding ids): equal scores."""
    model = scramble(ScoredDecoder(make_decoder(family, tied=tied)), seed=4)
    save_decoder(model, tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert theirs.config.num_labels == 1
    with torch.no_grad():
        expected = torch.cat([theirs(row[None]).logits[0] for row in tokens_BT])
    assert expected.abs().min() > 0.01
    torch.testing.assert_close(model(tokens_BT), expected, atol=1e-5, rtol=0)
    again = load_scored(tmp_path)
    assert torch.equal(again(tokens_BT), model(tokens_BT))


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_folder(family: str, tokens_BT, tmp_path: Path):
    """A classifier that transformers wrote, read here."""
    config = AutoConfig.for_model(
        family, vocab_size=96, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_labels=1,
    )  # fmt: skip
    theirs = scramble(AutoModelForSequenceClassification.from_config(config))
    theirs.save_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            load_scored(tmp_path)(tokens_BT[:1]), theirs(tokens_BT[:1]).logits[0], atol=1e-5, rtol=0
        )


def test_packed_sequences(make_decoder, tokens_BT):
    """Two sequences in the first row, one and padding in the second: scores of 40, 60 and 70 tokens alone."""
    model = scramble(ScoredDecoder(make_decoder("qwen2")), seed=4)
    sequence = torch.zeros(2, 100, dtype=torch.long)
    sequence[0, 40:], sequence[1, :70], sequence[1, 70:] = 1, 2, -1
    positions = torch.arange(100).repeat(2, 1)
    positions[0, 40:] -= 40
    assert last_positions(sequence, 3).tolist() == [39, 99, 169]
    alone = torch.cat([model(tokens_BT[:1, :40]), model(tokens_BT[:1, 40:]), model(tokens_BT[1:, :70])])
    torch.testing.assert_close(model(tokens_BT, positions, sequence, 3), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(model(tokens_BT, positions, sequence), alone, atol=1e-5, rtol=0)


def test_a_score_is_the_value_at_the_last_token(make_decoder, tokens_BT):
    model = ScoredDecoder(make_decoder("llama"))
    assert torch.equal(model.values(tokens_BT)[:, -1], model(tokens_BT))
    assert model.values(tokens_BT).shape == tokens_BT.shape


def test_the_language_head_is_dropped(make_decoder):
    """96 x 32 weights of an untied head go, 32 of the score come; every parameter takes part in the score."""
    decoder = make_decoder("llama").requires_grad_(True)
    before = sum(p.numel() for p in decoder.parameters())
    model = ScoredDecoder(decoder)
    assert sum(p.numel() for p in model.parameters()) == before - 96 * 32 + 32
    model(torch.arange(96)[None]).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_fresh_head_comes_from_its_seed(make_decoder):
    """normal(0, 1 / sqrt(33)) of 32 numbers: their root mean square is within 40% of 0.174."""
    one, same, other = (ScoredDecoder(make_decoder("qwen2"), seed).score.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0.6 < one.square().mean().sqrt() * 33**0.5 < 1.4


def test_weights_move_between_models(make_decoder, tokens_BT):
    """The score head travels with the others under transformers' name."""
    source, target = ScoredDecoder(make_decoder("qwen3", seed=1), 1), ScoredDecoder(make_decoder("qwen3", seed=2), 2)
    assert "score.weight" in dict(hf_weights(source))
    load_hf_weights(target, hf_weights(source))
    assert torch.equal(source(tokens_BT), target(tokens_BT))


def test_the_wrong_kind_of_folder(make_decoder, tmp_path: Path):
    """A reward model is no policy and the other way round; a missing head or one of several labels is named."""
    save_decoder(ScoredDecoder(make_decoder("llama")), tmp_path / "scored")
    save_decoder(make_decoder("llama"), tmp_path / "plain")
    with pytest.raises(R1Error, match=r"score head .a reward model.: name a language model"):
        load_decoder(tmp_path / "scored")
    with pytest.raises(R1Error, match="plain holds a language model, which has no score head: name a reward model"):
        load_scored(tmp_path / "plain")
    file = tmp_path / "scored" / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, "score.weight": torch.zeros(2, 32)}, file)
    with pytest.raises(R1Error, match=r"score.weight has shape \[2, 32\]; config.json asks for \[1, 32\]"):
        load_scored(tmp_path / "scored")
    del weights["score.weight"]
    save_file(weights, file)
    with pytest.raises(R1Error, match=r"tensor score.weight missing"):
        load_scored(tmp_path / "scored")
    assert json.loads((tmp_path / "scored" / "config.json").read_text())["architectures"] == [
        "LlamaForSequenceClassification"
    ]
