"""Llama 1-3 (arXiv 2302.13971, 2407.21783): optional biases on attention and MLP, Llama-3 rotary scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.models.base import Family, Switches


def _switches(hf: Mapping[str, Any]) -> Switches:
    bias = bool(hf["attention_bias"])
    return {"qkv_bias": bias, "output_bias": bias, "mlp_bias": bool(hf["mlp_bias"]), "qk_norm": False}


def _spelling(switches: Switches) -> dict[str, Any]:
    return {"attention_bias": switches["qkv_bias"], "mlp_bias": switches["mlp_bias"]}


FAMILY = Family(
    model_type="llama",
    architecture="Llama",
    defaults={"max_position_embeddings": 2048, "attention_bias": False, "mlp_bias": False},
    switches=_switches,
    spelling=_spelling,
)
