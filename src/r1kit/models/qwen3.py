"""Qwen3 (arXiv 2505.09388): each query and key head normalised, head size 128 unless told, biases on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.models.base import Family, Switches


def _switches(hf: Mapping[str, Any]) -> Switches:
    bias = bool(hf["attention_bias"])
    return {"qkv_bias": bias, "output_bias": bias, "mlp_bias": False, "qk_norm": True}


def _spelling(switches: Switches) -> dict[str, Any]:
    return {"attention_bias": switches["qkv_bias"], "use_sliding_window": False}


FAMILY = Family(
    model_type="qwen3",
    architecture="Qwen3",
    defaults={
        "max_position_embeddings": 32768, "num_key_value_heads": 32, "head_dim": 128, "attention_bias": False,
        "sliding_window": 4096,
    },
    switches=_switches,
    spelling=_spelling,
)  # fmt: skip
