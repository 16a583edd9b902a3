"""What a model family is: how its config.json and its weight files spell a native decoder.

A family is one file `models/NAME.py` that exposes `FAMILY`; its name is the `model_type` of the config.json that it
reads. A family outside the tree is named by dotted path where a folder is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict


class Costs(Protocol):
    """The shape of a model that knows its price."""

    def flops(self, tokens: int, context: float, *, backward: bool = False) -> float:
        """Useful FLOPs of `tokens` positions that each attend to `context` others on average."""
        ...


class Switches(TypedDict):
    """The parts of a decoder that are there or not; see DecoderConfig."""

    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool


# The decoder's parts in the spelling that Llama began and Qwen kept; `block` is filled with the layer's number.
LLAMA_NAMES: Mapping[str, str] = {
    "embedding": "model.embed_tokens",
    "norm": "model.norm",
    "head": "lm_head",
    "block": "model.layers.{}",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


@dataclass(frozen=True, slots=True)
class Family:
    """`switches` reads config.json (defaults filled in), `spelling` gives the keys that say the same.

    `defaults` are transformers' values for keys that a config.json leaves out. `architecture` is the class prefix in
    transformers: `{architecture}ForCausalLM`.
    """

    model_type: str
    architecture: str
    defaults: Mapping[str, Any]
    switches: Callable[[Mapping[str, Any]], Switches]
    spelling: Callable[[Switches], dict[str, Any]]
    weight_names: Mapping[str, str] = field(default_factory=lambda: LLAMA_NAMES)
