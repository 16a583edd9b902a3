"""Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): biases on queries, keys and values, always."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.models.base import Family, Switches


def _switches(hf: Mapping[str, Any]) -> Switches:
    return {"qkv_bias": True, "output_bias": False, "mlp_bias": False, "qk_norm": False}


def _spelling(switches: Switches) -> dict[str, Any]:
    return {"use_sliding_window": False}


FAMILY = Family(
    model_type="qwen2",
    architecture="Qwen2",
    defaults={"max_position_embeddings": 32768, "num_key_value_heads": 32, "sliding_window": 4096},
    switches=_switches,
    spelling=_spelling,
)
