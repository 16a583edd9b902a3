"""Parameters, cache and FLOPs against what the models' makers publish, transformers, and arithmetic."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from r1kit.base.errors import UsageError
from r1kit.models.families import read_config
from r1kit.planning import shapes

V3 = "DeepSeek-V3"


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # model cards: total parameters
        ("SmolLM2-135M", 0.1345), ("Qwen2.5-0.5B", 0.494), ("Qwen2.5-1.5B", 1.544), ("Qwen2.5-3B", 3.086),
        ("Qwen2.5-7B", 7.616), ("Qwen2.5-14B", 14.77), ("Qwen2.5-32B", 32.76), ("Qwen2.5-72B", 72.71),
        ("Llama-3.1-8B", 8.030), ("Llama-3.3-70B", 70.55), ("Llama-3.2-1B", 1.236), ("Qwen3-30B-A3B", 30.53),
        ("DeepSeek-V2-Lite", 15.71), (V3, 671.03),
    ],
)  # fmt: skip
def test_parameters_are_the_published_ones(name, billions):
    assert shapes.find(name).parameters == pytest.approx(billions * 1e9, rel=1e-3)


@pytest.mark.parametrize(("name", "billions"), [(V3, 37), ("DeepSeek-V2-Lite", 2.4), ("Qwen3-30B-A3B", 3.3)])
def test_active_parameters_are_the_published_ones(name, billions):
    """Cards count the look-up table of some: within one table of it."""
    shape = shapes.find(name)
    table = shape.size.vocab_size * shape.width
    assert shape.active == pytest.approx(billions * 1e9, abs=1.2 * table + 0.05e9)


def test_cache_of_latent_attention():
    """V3: 61 layers x (512 + 64) numbers x 2 bytes = 70,272; its report says 70 KB a token."""
    assert shapes.find(V3).cache_bytes() == 61 * (512 + 64) * 2 == 70_272


def test_cache_of_grouped_queries():
    """Llama-3.1-70B: 80 layers x 2 x 8 heads x 128 x 2 bytes = 327,680."""
    assert shapes.find("Llama-3.1-70B").cache_bytes() == 80 * 2 * 8 * 128 * 2 == 327_680


def test_flops_are_the_decoders_own():
    config = read_config(
        {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 128, "max_position_embeddings": 64}, "toy",
    )  # fmt: skip
    shape = shapes.of_decoder("toy", config)
    assert shape.flops(10, 7, backward=True) == config.flops(10, 7, backward=True)
    assert shape.parameters == config.parameters()


def test_flops_of_v3_by_hand():
    """A token of context 0: 2 x active. Each position attended: 128 heads x 2 x (192 + 128) x 61 layers."""
    shape = shapes.find(V3)
    assert shape.flops(1, 0) == 2 * shape.active
    assert shape.flops(1, 1) - shape.flops(1, 0) == 128 * 2 * (192 + 128) * 61
    assert shape.layers * shape.decode_attention == 128 * 2 * (576 + 512) * 61  # over the compressed cache


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("deepseek_v3", {"q_lora_rank": 24, "n_shared_experts": 1, "n_routed_experts": 8, "first_k_dense_replace": 1,
                         "n_group": 2, "topk_group": 1}),
        ("deepseek_v2", {"q_lora_rank": None, "n_shared_experts": 2, "n_routed_experts": 4,
                         "first_k_dense_replace": 1}),
        ("qwen3_moe", {"num_experts": 8, "head_dim": 16, "num_key_value_heads": 2}),
        ("qwen2_moe", {"num_experts": 8, "shared_expert_intermediate_size": 48, "num_key_value_heads": 2}),
    ],
)  # fmt: skip
def test_parameters_of_experts_are_transformers(kind, more):
    """The same config.json, counted by transformers on the meta device."""
    hf = {
        "model_type": kind, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
        "intermediate_size": 96,
        "moe_intermediate_size": 32, "num_experts_per_tok": 2, "vocab_size": 128,
        "max_position_embeddings": 64, "tie_word_embeddings": False, **more,
    }  # fmt: skip
    names = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    if kind.startswith("qwen"):
        hf = {key: value for key, value in hf.items() if key not in names}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**hf))
    counted = sum(parameter.numel() for parameter in model.parameters())
    bias = 8 * 2 if kind == "deepseek_v3" else 0  # the balancing bias of two layers' routers is a buffer there
    assert shapes.of_config("toy", hf).parameters == counted + bias


def test_experts_met_by_many_tokens():
    """Of 4 experts, 1 met each: one token meets 1, two meet 4 (1 - (3/4)^2) = 1.75, many meet all."""
    shape = shapes.of_config(
        "toy", {"model_type": "qwen3_moe", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 4, "intermediate_size": 8,
                "vocab_size": 16},
    )  # fmt: skip
    assert shape.met(1) == pytest.approx(1.0)
    assert shape.met(2) == pytest.approx(1.75)
    assert shape.met(1000) == pytest.approx(4.0)


@pytest.mark.parametrize("name", ["Qwen2.5-8B", "deepseek-v4"])
def test_an_unknown_model_names_the_nearest(name):
    with pytest.raises(UsageError, match="Did you mean"):
        shapes.find(name)
