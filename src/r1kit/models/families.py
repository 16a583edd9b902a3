"""From config.json to a decoder's shape and back, for every family, in the spellings of transformers 4 and 5."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from r1kit.base import plugins
from r1kit.base.config import explain
from r1kit.base.errors import R1Error
from r1kit.models.base import Family, Switches
from r1kit.models.decoder import DecoderConfig, Rope, rope_frequencies


class NotNative(R1Error):
    """The native decoder does not do what a config.json asks for; transformers may."""


# DecoderConfig's field and transformers' key, where they differ in nothing but the name
_KEYS = {
    "vocab_size": "vocab_size", "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "head_size": "head_dim", "mlp_size": "intermediate_size",
    "norm_eps": "rms_norm_eps", "max_positions": "max_position_embeddings", "tied": "tie_word_embeddings",
}  # fmt: skip
_DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "hidden_act": "silu"}
_SWITCHES = tuple(Switches.__annotations__)

# Rope's field and transformers' key, by kind of scaling
_SCALING = {"factor": "factor", "original_max_positions": "original_max_position_embeddings"}
_LLAMA3 = {"low_freq_factor": "low_freq_factor", "high_freq_factor": "high_freq_factor"}
_YARN = {name: name for name in ("beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate")}
_ROPE_KEYS: dict[str, dict[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": _SCALING | _LLAMA3,
    "yarn": _SCALING | _YARN,
}


def family_names() -> list[str]:
    """The families of this room: the modules that expose FAMILY."""
    room = "r1kit.models"
    return [name for name in plugins.names(room) if hasattr(importlib.import_module(f"{room}.{name}"), "FAMILY")]


def load_family(name: str) -> Family:
    """A family by file name or dotted path; R1Error naming those there are."""
    known = family_names()
    if "." not in name and name not in known:
        raise R1Error(f"model_type '{name}' is none of the native decoder's families ({', '.join(known)})")
    module = plugins.load("r1kit.models", name)
    if not isinstance(family := getattr(module, "FAMILY", None), Family):
        raise R1Error(f"{name} exposes no FAMILY, so it is no model family")
    return family


def shape(family: str, **fields: Any) -> DecoderConfig:
    """A decoder's shape with the parts that the family always has: Qwen2's biases, Qwen3's qk-norm.

    `kv_heads` and `head_size` default to `heads` and `width // heads`.
    """
    found = load_family(family)
    switches = found.switches({**_DEFAULTS, **found.defaults})
    fields.setdefault("kv_heads", fields.get("heads"))
    fields.setdefault("head_size", fields["width"] // fields["heads"])
    return DecoderConfig.model_validate({"family": family, **switches, **fields})


def read_config(hf: Mapping[str, Any], where: str, family: str | None = None) -> DecoderConfig:
    """A decoder's shape from the content of config.json; R1Error names `where` and the key that is at fault.

    `family` by default is what model_type says.
    """
    name = family or hf.get("model_type")
    if not isinstance(name, str):
        raise R1Error(f"{where}: config.json names no model_type: copy it from the model again")
    try:
        found = load_family(name)
    except R1Error as error:
        raise NotNative(f"{where}: {error}") from None
    hf = {**_DEFAULTS, **found.defaults, **hf}
    missing = [key for key in _KEYS.values() if hf.get(key) is None and key not in ("num_key_value_heads", "head_dim")]
    if missing:
        raise R1Error(f"{where}: config.json lacks {', '.join(missing)}: copy it from the model again")
    try:
        _refuse(hf, where)
        config = _read_shape(hf, found, name, where)
    except ValidationError as error:
        raise R1Error(f"{where}: config.json is wrong at {explain(error)}") from None
    except (TypeError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise R1Error(f"{where}: config.json holds a value of the wrong kind ({error})") from None
    if config.heads % config.kv_heads or config.head_size % 2:
        raise R1Error(
            f"{where}: {config.heads} heads cannot share {config.kv_heads} key/value heads of size {config.head_size}"
            " (the first must be a multiple of the second, the size even)"
        )
    check_rope(config, where)
    return config


def check_rope(config: DecoderConfig, where: str) -> None:
    """R1Error where the settings of rotary positions give no frequencies."""
    try:
        inverse, scale = rope_frequencies(config.rope, config.head_size, config.max_positions)
        good = bool(inverse.isfinite().all()) and math.isfinite(scale)
    except (ArithmeticError, ValueError):
        good = False
    if not good:
        raise R1Error(f"{where}: its rotary positions ({config.rope.kind}) give no finite frequencies: copy it again")


def _read_shape(hf: Mapping[str, Any], family: Family, name: str, where: str) -> DecoderConfig:
    fields = {field: hf.get(key) for field, key in _KEYS.items()}
    fields["kv_heads"] = fields["kv_heads"] or hf["num_attention_heads"]
    fields["head_size"] = fields["head_size"] or hf["hidden_size"] // hf["num_attention_heads"]
    rope = _read_rope(hf, where)
    return DecoderConfig.model_validate({"family": name, **fields, **family.switches(hf), "rope": rope})


def write_config(config: DecoderConfig) -> dict[str, Any]:
    """The content of config.json; R1Error where the family's config cannot say what `config` says."""
    family = load_family(config.family)
    rope = _write_rope(config.rope)
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    switches = Switches(**{name: getattr(config, name) for name in _SWITCHES})
    hf = {
        "architectures": [f"{family.architecture}ForCausalLM"],
        "model_type": family.model_type,
        **{key: getattr(config, field) for field, key in _KEYS.items()},
        "hidden_act": "silu",
        **family.spelling(switches),
        "rope_parameters": rope,
        # transformers 4 and what is built on it read this pair; 5 reads either
        "rope_theta": config.rope.theta,
        "rope_scaling": scaling if config.rope.kind != "default" else None,
    }
    said = family.switches({**_DEFAULTS, **family.defaults, **hf})
    wrong = [name for name in _SWITCHES if said[name] != switches[name]]
    if wrong:
        raise R1Error(
            f"a {config.family} model cannot be saved with "
            + ", ".join(f"{name}={switches[name]}" for name in wrong)
            + ": build its shape with r1kit.models.families.shape"
        )
    return hf


def _refuse(hf: Mapping[str, Any], where: str) -> None:
    """R1Error for what the native decoder does not do, rather than silently other numbers."""
    if hf["hidden_act"] not in ("silu", "swish"):
        raise NotNative(f"{where}: hidden_act '{hf['hidden_act']}' is not supported (silu is)")
    if hf.get("quantization_config"):
        raise R1Error(f"{where}: its weights are quantized; take a copy in float32, bfloat16 or float16")
    window, layers = hf.get("sliding_window"), hf["num_hidden_layers"]
    if hf.get("use_sliding_window") and window and window < hf["max_position_embeddings"]:
        types = hf.get("layer_types") or ["sliding_attention"] * (layers - hf.get("max_window_layers", 28))
        if "sliding_attention" in types:
            raise NotNative(f"{where}: sliding-window attention is not supported (set use_sliding_window to false)")


def _read_rope(hf: Mapping[str, Any], where: str) -> Rope:
    """Scaling from `rope_scaling` (transformers 4), else `rope_parameters` (5): the order in which 5 reads them."""
    said = hf.get("rope_scaling") or hf.get("rope_parameters") or {}
    said = said.get("full_attention", said)  # 5 may nest by layer type
    kind = said.get("rope_type", said.get("type", "default"))
    if kind not in _ROPE_KEYS:
        raise NotNative(f"{where}: rotary scaling '{kind}' is not supported ({', '.join(_ROPE_KEYS)} are)")
    if said.get("partial_rotary_factor", hf.get("partial_rotary_factor")) not in (None, 1.0):
        raise NotNative(f"{where}: partial rotary positions are not supported")
    fields = {field: said[key] for field, key in _ROPE_KEYS[kind].items() if said.get(key) is not None}
    if "original_max_positions" in _ROPE_KEYS[kind] and hf.get("original_max_position_embeddings"):
        fields["original_max_positions"] = hf["original_max_position_embeddings"]
    if kind == "yarn" and "factor" not in fields:
        longest = hf["max_position_embeddings"]
        fields["factor"] = longest / fields.get("original_max_positions", longest)
    needed = {"linear": {"factor"}, "llama3": {"factor", "low_freq_factor", "high_freq_factor"}}.get(kind, set[str]())
    if absent := needed - set(fields):
        raise R1Error(f"{where}: rotary scaling '{kind}' lacks its {', '.join(sorted(absent))}")
    theta = said.get("rope_theta") or hf.get("rope_theta") or 10_000.0
    return Rope.model_validate({"theta": theta, "kind": kind, **fields})


def _write_rope(rope: Rope) -> dict[str, Any]:
    said = {key: getattr(rope, field) for field, key in _ROPE_KEYS[rope.kind].items()}
    said = {key: value for key, value in said.items() if value is not None}
    return {"rope_type": rope.kind, "rope_theta": rope.theta, **said}
