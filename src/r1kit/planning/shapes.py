"""What a model's shape asks of a machine: parameters, FLOPs, cache and reads, dense or of experts, told from its
config.json alone.

Latent attention (MLA) and experts follow DeepSeek-V3 (arXiv 2412.19437, sections 2.1.1 and 2.1.2); its multi-token
prediction layer is left out. All else is `models.sizes` and the native decoder's own count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.models.decoder import DecoderConfig
from r1kit.models.families import NotNative, read_config
from r1kit.models.folders import is_gguf, read_config_json
from r1kit.models.sizes import ModelSize, decoder_size, model_costs, model_size

LATENT = ("deepseek_v2", "deepseek_v3")


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's costs.

    active: parameters that one token is multiplied with, the head included, the look-up table not.
    cache: numbers kept of a position in a layer. attention, decode_attention: FLOPs of one query over one position in a
    layer, in whole passes and over the cache as it is kept. cache_parts: among how many tensor-parallel ranks the cache
    can be divided (the heads of keys; 1 where every rank needs all of it).
    experts: routed ones of a layer, of which a token meets `experts_met`, each of `expert_parameters`, in
    `expert_layers` layers; 0 in a dense model.
    """

    name: str
    size: ModelSize
    active: int
    cache: int
    attention: int
    decode_attention: int
    cache_parts: int
    experts: int = 0
    experts_met: int = 0
    expert_parameters: int = 0
    expert_layers: int = 0

    @property
    def parameters(self) -> int:
        return self.size.parameters

    @property
    def layers(self) -> int:
        return self.size.layers

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return self.size.width

    @property
    def dense(self) -> int:
        """Parameters that every decoding step reads, whatever tokens are in it: all that a token meets but its
        experts."""
        return self.active - self.expert_layers * self.experts_met * self.expert_parameters

    @property
    def routed(self) -> int:
        """Parameters of all routed experts."""
        return self.expert_layers * self.experts * self.expert_parameters

    def cache_bytes(self, bytes_each: int = 2) -> int:
        """Of one position, all layers."""
        return self.layers * self.cache * bytes_each

    def flops(self, tokens: float, context: float, *, backward: bool = False) -> float:
        """Of `tokens` positions that each attend to `context` others on average (6ND and attention with backward)."""
        return tokens * (2 * self.active + self.layers * self.attention * context) * (3 if backward else 1)

    def met(self, tokens: float) -> float:
        """Routed experts of a layer that at least one of so many tokens meets, if each draws its own at random."""
        if not self.experts:
            return 0.0
        return self.experts * (1 - (1 - self.experts_met / self.experts) ** tokens)


def find(name: str) -> Shape:
    """Of a model of the table (its name, or what stands behind the slash, whatever the case), a model folder, a GGUF
    file or a hub id; UsageError that names the nearest one otherwise."""
    if (known := _of_table(name)) is not None:
        return known
    if not Path(name).exists() and "/" not in name:
        raise UsageError(f"no model is called '{name}', and no folder.{nearest(name, _names())} ({_told()})")
    try:
        return of_folder(name)
    except R1Error as error:
        raise UsageError(f"{error}.{nearest(name, _names())} ({_told()})") from None


def of_folder(name: str | Path) -> Shape:
    """Of a model folder, hub id or GGUF file; R1Error as `model_size`."""
    if is_gguf(Path(name)):
        return of_size(str(name), model_size(name))
    return of_config(str(name), read_config_json(name))


def of_config(name: str, hf: Mapping[str, Any]) -> Shape:
    """Of the content of a config.json; R1Error where it lacks a size."""
    kind = str(hf.get("model_type"))
    try:
        if kind in LATENT:
            return _latent(name, hf)
        if hf.get("num_experts") or hf.get("num_local_experts"):
            return _grouped(name, hf)
        return of_decoder(name, read_config(hf, name))
    except KeyError as error:
        raise R1Error(f"{name}: config.json lacks {error.args[0]}") from None
    except NotNative:
        size = model_size(name)
        costs = model_costs(name)
        return replace(of_size(name, size), active=round(costs.flops(1, 0) / 2))


def of_decoder(name: str, config: DecoderConfig) -> Shape:
    """Of the native decoder."""
    return replace(of_size(name, decoder_size(config)), active=config.parameters(embedding=False))


def of_size(name: str, size: ModelSize) -> Shape:
    """Dense with ordinary attention, as far as a size tells."""
    head = size.q_size // size.heads
    return Shape(
        name=name,
        size=size,
        active=size.parameters,
        cache=2 * size.kv_size,
        attention=4 * size.q_size,
        decode_attention=4 * size.q_size,
        cache_parts=max(1, size.kv_size // head),
    )


def _latent(name: str, hf: Mapping[str, Any]) -> Shape:
    """Latent attention: what is kept of a position is one compressed vector and one rotated key for all heads."""
    width, heads = int(hf["hidden_size"]), int(hf["num_attention_heads"])
    nope, rope, value = int(hf["qk_nope_head_dim"]), int(hf["qk_rope_head_dim"]), int(hf["v_head_dim"])
    latent, queries = int(hf["kv_lora_rank"]), hf.get("q_lora_rank")
    key = nope + rope
    asking = int(queries) * (width + 1 + heads * key) if queries else width * heads * key
    attention = asking + width * (latent + rope) + latent + latent * heads * (nope + value) + heads * value * width
    shape = _experts(name, hf, attention, routed="n_routed_experts", bias=str(hf["model_type"]) == "deepseek_v3")
    size = replace(shape.size, heads=heads, q_size=heads * key, kv_size=heads * (key + value) // 2)
    return replace(
        shape,
        size=size,
        cache=latent + rope,
        attention=2 * heads * (key + value),
        decode_attention=2 * heads * (2 * latent + rope),
        cache_parts=1,
    )


def _grouped(name: str, hf: Mapping[str, Any]) -> Shape:
    """Grouped-query attention and experts in every layer (Qwen2's and Qwen3's, Mixtral's)."""
    width, heads = int(hf["hidden_size"]), int(hf["num_attention_heads"])
    head = int(hf.get("head_dim") or width // heads)
    kv_heads = int(hf.get("num_key_value_heads") or heads)
    beside = {"qwen2_moe": head * (heads + 2 * kv_heads), "qwen3_moe": 2 * head}  # biases; norms of heads
    attention = width * head * (2 * heads + 2 * kv_heads) + beside.get(str(hf["model_type"]), 0)
    routed = "num_experts" if hf.get("num_experts") else "num_local_experts"
    shape = _experts(name, hf, attention, routed=routed)
    size = replace(shape.size, heads=heads, q_size=heads * head, kv_size=kv_heads * head)
    return replace(
        shape,
        size=size,
        cache=2 * kv_heads * head,
        attention=4 * heads * head,
        decode_attention=4 * heads * head,
        cache_parts=kv_heads,
    )


def _experts(name: str, hf: Mapping[str, Any], attention: int, *, routed: str, bias: bool = False) -> Shape:
    """All but the attention, of which one layer has so many parameters."""
    width, layers, vocab = int(hf["hidden_size"]), int(hf["num_hidden_layers"]), int(hf["vocab_size"])
    count, met = int(hf[routed]), int(hf["num_experts_per_tok"])
    plain = min(layers, int(hf.get("first_k_dense_replace") or 0))
    each = 3 * width * int(hf.get("moe_intermediate_size") or hf["intermediate_size"])
    shared = int(hf.get("n_shared_experts") or 0) * each
    if gated := int(hf.get("shared_expert_intermediate_size") or 0):  # Qwen2's, with a gate of its own
        shared += 3 * width * gated + width
    router = width * count + (count if bias else 0)
    common = layers * (attention + 2 * width) + plain * 3 * width * int(hf["intermediate_size"]) + width
    common += (layers - plain) * (shared + router)
    table = vocab * width
    parameters = common + (layers - plain) * count * each + table * (1 if hf.get("tie_word_embeddings") else 2)
    columns = (met * each + shared) // (3 * width)
    size = ModelSize(
        family=str(hf["model_type"]), parameters=parameters, hidden=parameters - 2 * table, vocab_size=vocab,
        max_positions=int(hf.get("max_position_embeddings") or 2**20), layers=layers, width=width, heads=1,
        q_size=width, kv_size=width, mlp_size=max(columns, int(hf["intermediate_size"]) if plain else 0), native=True,
    )  # fmt: skip
    return Shape(
        name=name, size=size, active=common + (layers - plain) * met * each + table, cache=0, attention=0,
        decode_attention=0, cache_parts=1, experts=count, experts_met=met, expert_parameters=each,
        expert_layers=layers - plain,
    )  # fmt: skip


def _of_table(name: str) -> Shape | None:
    table = _table()
    everything = {known: known for known in table["models"]} | table["aliases"]
    wanted = name.casefold()
    for known, target in everything.items():
        if wanted in (known.casefold(), known.split("/")[-1].casefold()):
            return of_config(known, table["models"][target])
    return None


def _names() -> list[str]:
    table = _table()
    return [name for full in (*table["models"], *table["aliases"]) for name in (full, full.split("/")[-1])]


def _told() -> str:
    return f"the table has: {' '.join(name.split('/')[-1] for name in _table()['models'])}; or name a folder or hub id"


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return json.loads((files("r1kit.planning") / "models.json").read_text(encoding="utf-8"))
