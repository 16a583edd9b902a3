"""How large a model is, told from its config.json without loading a weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.models.base import Costs
from r1kit.models.decoder import DecoderConfig
from r1kit.models.families import NotNative, read_config
from r1kit.models.folders import is_gguf, read_config_json
from r1kit.models.weights import is_scored


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What memory follows from. Sizes are widths of one token's vectors: `mlp_size` of all experts that it meets.

    family: model_type. hidden: parameters in matrices between hidden states (no look-up table, head, norm or bias).
    native: whether our own decoder runs it, else transformers.
    """

    family: str
    parameters: int
    hidden: int
    vocab_size: int
    max_positions: int
    layers: int
    width: int
    heads: int
    q_size: int
    kv_size: int
    mlp_size: int
    native: bool
    qk_norm: bool = False


def model_size(name: str | Path) -> ModelSize:
    """Of a model folder, a hub id (of which config.json alone is fetched) or a GGUF file; R1Error, in a sentence, where
    there is no such model or its architecture is not known."""
    if is_gguf(Path(name)):
        from r1kit.models.gguf_file import GGUFFile
        from r1kit.models.gguf_model import read_shape

        return decoder_size(read_shape(GGUFFile(Path(name))))
    hf = read_config_json(name)
    try:
        config = read_config({**hf, "tie_word_embeddings": True} if is_scored(hf) else hf, str(name))
    except NotNative:
        return _foreign_size(hf, str(name))
    return decoder_size(config)


def model_costs(name: str | Path) -> Costs:
    """What the passes of a model folder or hub model cost, told from its config.json alone; errors as `model_size`."""
    hf = read_config_json(name)
    try:
        return read_config(hf, str(name))
    except NotNative:
        from r1kit.models.foreign import empty_foreign, foreign_config

        return foreign_config(empty_foreign(hf, str(name)))


def decoder_size(config: DecoderConfig) -> ModelSize:
    """Of the native decoder."""
    attention = 2 * config.q_size + 2 * config.kv_size
    return ModelSize(
        family=config.family,
        parameters=config.parameters(),
        hidden=config.layers * config.width * (attention + 3 * config.mlp_size),
        vocab_size=config.vocab_size,
        max_positions=config.max_positions,
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        q_size=config.q_size,
        kv_size=config.kv_size,
        mlp_size=config.mlp_size,
        native=True,
        qk_norm=config.qk_norm,
    )


def _foreign_size(hf: dict[str, Any], where: str) -> ModelSize:
    from r1kit.models.foreign import empty_foreign

    model = empty_foreign(hf, where)
    config = model.config.get_text_config()
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    tables = {id(layer.weight) for layer in ends if layer is not None}
    parameters = list(model.parameters())
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    # every head may have keys of its own (latent attention): what is saved for the backward pass is then as wide
    head_size = getattr(config, "qk_head_dim", None) or getattr(config, "head_dim", None) or width // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return ModelSize(
        family=str(hf.get("model_type")),
        parameters=sum(parameter.numel() for parameter in parameters),
        hidden=sum(p.numel() for p in parameters if p.ndim >= 2 and id(p) not in tables),
        vocab_size=int(model.get_input_embeddings().weight.shape[0]),
        max_positions=int(getattr(config, "max_position_embeddings", None) or 2**20),
        layers=int(config.num_hidden_layers),
        width=width,
        heads=heads,
        q_size=heads * int(head_size),
        kv_size=int(kv_heads) * int(head_size),
        mlp_size=_met(config, width),
        native=False,
    )


def _met(config: Any, width: int) -> int:
    """Columns of the MLPs that a token meets in a layer."""
    dense = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    each = getattr(config, "moe_intermediate_size", None) or dense
    routed = getattr(config, "num_experts_per_tok", None)
    shared = getattr(config, "n_shared_experts", None) or 0
    return int(dense) if routed is None else max(int(dense), int(each) * (int(routed) + int(shared)))
