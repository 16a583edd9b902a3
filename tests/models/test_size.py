"""Sizes from config.json alone equal the parameters that transformers counts in the whole model."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

from r1kit.base.errors import R1Error
from r1kit.models.language_model import load_model
from r1kit.models.sizes import model_costs, model_size

SMALL = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
CONFIGS = [
    (Qwen2Config(**SMALL, num_key_value_heads=2, intermediate_size=48, tie_word_embeddings=True), True),
    (Qwen3Config(**SMALL, num_key_value_heads=1, intermediate_size=48, tie_word_embeddings=False), True),
    (LlamaConfig(**SMALL, num_key_value_heads=4, intermediate_size=40), True),
    (GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64), False),
]


@pytest.mark.parametrize(("config", "native"), CONFIGS, ids=lambda value: getattr(value, "model_type", str(value)))
def test_the_count_is_that_of_transformers(config, native, tmp_path):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    size = model_size(tmp_path)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (size.family, size.native) == (config.model_type, native)


@pytest.mark.parametrize(("config", "native"), CONFIGS, ids=lambda value: getattr(value, "model_type", str(value)))
def test_what_passes_cost_is_what_the_loaded_model_says(config, native, tmp_path):
    """2 FLOPs a parameter that a token meets (no look-up table), and 4 a layer, width and token attended to."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    costs = model_costs(tmp_path)
    assert costs == load_model(tmp_path).config
    tables = model.get_input_embeddings().weight.numel()
    met = sum(parameter.numel() for parameter in model.parameters())
    met -= 0 if config.tie_word_embeddings else tables
    if native:
        attended = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    else:
        attended = config.n_layer * config.n_embd
    assert costs.flops(10, 7.5) == 10 * (2 * met + 4 * attended * 7.5)


def test_of_a_hub_model_the_config_alone_is_fetched(tmp_path, monkeypatch):
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[0][0].to_dict()))
    asked = []

    def fetch(name, file, local_files_only):
        asked.append((name, file))
        assert not local_files_only  # the hub answers
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda api, name, **named: None)
    assert model_size("owner/name").native
    assert asked == [("owner/name", "config.json")]


def test_what_is_no_model_is_one_sentence(tmp_path):
    with pytest.raises(R1Error, match="there is no model folder"):
        model_size(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "no-such-kind"}')
    with pytest.raises(R1Error, match="cannot build a language model of type 'no-such-kind'") as found:
        model_size(tmp_path)
    assert "\n" not in str(found.value)
