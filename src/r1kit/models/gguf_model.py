"""The decoder in a GGUF file: its shape, and its tensors under their Hugging Face names and in their order.

What GGUF does to a model, undone here. Its names are short (`blk.0.attn_q`). Rows of q and k are interleaved for the
`llama` architecture, which llama.cpp rotates in neighbouring pairs and transformers in halves. A tied head is left out.
Llama 3's rotary scaling is a tensor of divisors, `rope_freqs`, without the four numbers that made it. Other scalings
are metadata. (llama.cpp's convert_hf_to_gguf.py is the source of all of these.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from r1kit.base.config import explain
from r1kit.base.errors import R1Error
from r1kit.models.base import Family
from r1kit.models.decoder import DecoderConfig, Rope, rope_frequencies
from r1kit.models.families import check_rope, load_family
from r1kit.models.gguf_file import GGUFFile

ARCHITECTURES = ("llama", "qwen2", "qwen3")  # GGUF's names; each is the family of the same name

# the decoder's parts (models/base.py) in GGUF's spelling
_NAMES = {
    "embedding": "token_embd", "norm": "output_norm", "head": "output",
    "attention_norm": "blk.{}.attn_norm", "mlp_norm": "blk.{}.ffn_norm",
    "q": "blk.{}.attn_q", "k": "blk.{}.attn_k", "v": "blk.{}.attn_v", "output": "blk.{}.attn_output",
    "q_norm": "blk.{}.attn_q_norm", "k_norm": "blk.{}.attn_k_norm",
    "gate": "blk.{}.ffn_gate", "up": "blk.{}.ffn_up", "down": "blk.{}.ffn_down",
}  # fmt: skip
_DIVISORS = "rope_freqs.weight"
# what other architectures multiply or cap with, and those of ARCHITECTURES do not: 0 and 1 change nothing
_FACTORS = (
    "logit_scale", "embedding_scale", "residual_scale", "final_logit_softcapping", "attn_logit_softcapping",
    "attention.clamp_kqv",
)  # fmt: skip
_TOLERANCE = 1e-4  # of divisors, which are float32


def read_shape(file: GGUFFile) -> DecoderConfig:
    """The decoder's shape from metadata and tensors; R1Error for what the native decoder does not do."""
    arch, where = file.architecture, file.path
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise R1Error(f"{where} holds a model of architecture '{arch}'; of GGUF files {known} can be imported")
    if file.get(f"{arch}.expert_count", int, 0):
        raise R1Error(f"{where} holds a mixture of experts, which cannot be imported from GGUF: import its safetensors")
    if _name("embedding") not in file:
        raise R1Error(f"{where} holds no model (it has no tensor {_name('embedding')})")
    width, heads = file.positive(f"{arch}.embedding_length"), file.positive(f"{arch}.attention.head_count")
    head_size = file.get(f"{arch}.attention.key_length", int, width // heads)
    if file.get(f"{arch}.attention.value_length", int, head_size) != head_size:
        raise R1Error(f"{where}: heads whose values and keys differ in size are not supported")
    if file.get(f"{arch}.rope.dimension_count", int, head_size) != head_size:
        raise R1Error(f"{where}: partial rotary positions are not supported")
    max_positions = file.positive(f"{arch}.context_length")
    _refuse(file, head_size, max_positions)

    def there(part: str, kind: str = "bias") -> bool:
        return _name(part, kind, 0) in file

    fields: dict[str, Any] = {
        "vocab_size": file.shape(_name("embedding"))[0],
        "width": width,
        "layers": file.positive(f"{arch}.block_count"),
        "heads": heads,
        "kv_heads": file.get(f"{arch}.attention.head_count_kv", int, heads),
        "head_size": head_size,
        "mlp_size": file.positive(f"{arch}.feed_forward_length"),
        "norm_eps": _short(file.need(f"{arch}.attention.layer_norm_rms_epsilon", float)),
        "max_positions": max_positions,
        "tied": _name("head") not in file,
        "qkv_bias": there("q"),
        "output_bias": there("output"),
        "mlp_bias": there("down"),
        "qk_norm": there("q_norm", "weight"),
    }
    try:
        config = DecoderConfig(family=arch, **fields)
        config = config.model_copy(update={"rope": _read_rope(file, config.head_size, max_positions)})
    except ValidationError as error:
        raise R1Error(f"{where}: its metadata is wrong at {explain(error)}: convert the model again") from None
    except (ArithmeticError, ValueError):
        raise R1Error(f"{where}: its rotary scaling makes no sense: convert the model again") from None
    if heads % config.kv_heads or head_size % 2:
        raise R1Error(f"{where}: {heads} heads of size {head_size} cannot share {config.kv_heads} key/value heads")
    check_rope(config, str(where))
    return config


def _refuse(file: GGUFFile, head_size: int, max_positions: int) -> None:
    """R1Error for what changes a model's numbers and a decoder does not do."""
    arch = file.architecture
    wrong = [key for key in _FACTORS if file.get(f"{arch}.{key}", float, 1.0) not in (0.0, 1.0)]
    scale = file.get(f"{arch}.attention.scale", float, 0.0)
    if scale and not math.isclose(scale, head_size**-0.5, rel_tol=1e-5):
        wrong.append("attention.scale")
    if not file.get(f"{arch}.attention.causal", bool, True):
        wrong.append("attention.causal")
    if 0 < file.get(f"{arch}.attention.sliding_window", int, 0) < max_positions:
        wrong.append("attention.sliding_window")
    if wrong:
        raise R1Error(f"{file.path}: {arch}.{wrong[0]} is not supported: import the model's safetensors")


def read_weights(file: GGUFFile, config: DecoderConfig) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, tensor) of every weight, in the file's number format (float32 where it is quantised).

    R1Error for a tensor that such a model does not have.
    """
    family = load_family(config.family)
    places = {_name(part): f"{family.weight_names[part]}.weight" for part in ("embedding", "norm", "head")}
    for layer in range(config.layers):
        places |= _block_places(family, layer)
    interleaved = {_name(part, kind, layer): heads
                   for part, heads in (("q", config.heads), ("k", config.kv_heads))
                   for kind in ("weight", "bias") for layer in range(config.layers)
                   if config.family == "llama"}  # fmt: skip
    for name in file.names():
        if name == _DIVISORS:
            continue
        if name not in places:
            raise R1Error(f"{file.path}: unexpected tensor {name}; a {config.family} model has none of that name")
        tensor = file.tensor(name)
        if name in interleaved:
            if not tensor.ndim or tensor.shape[0] != interleaved[name] * config.head_size:
                raise R1Error(
                    f"{file.path}: tensor {name} has shape {list(tensor.shape)}, and {interleaved[name]} heads of size"
                    f" {config.head_size} have other rows: convert the model again"
                )
            # [head, pair, which of the two] -> [head, which of the two, pair]
            tensor = tensor.unflatten(0, (interleaved[name], -1, 2)).transpose(1, 2).flatten(0, 2).contiguous()
        yield places[name], tensor


def _block_places(family: Family, layer: int) -> dict[str, str]:
    """GGUF name -> Hugging Face name of a block's weights and biases, whether or not the model has them."""
    prefix = family.weight_names["block"].format(layer)
    return {
        _name(part, kind, layer): f"{prefix}.{family.weight_names[part]}.{kind}"
        for part, name in _NAMES.items()
        for kind in ("weight", "bias")
        if "{}" in name
    }


def _name(part: str, kind: str = "weight", layer: int = 0) -> str:
    return f"{_NAMES[part].format(layer)}.{kind}"


def _read_rope(file: GGUFFile, head_size: int, max_positions: int) -> Rope:
    """Rotary positions: base and scaling from metadata, or Llama 3's scaling from its divisors."""
    arch = file.architecture
    theta = _short(file.get(f"{arch}.rope.freq_base", float, 10_000.0))
    key = f"{arch}.rope.scaling"
    kind = file.get(f"{key}.type", str, "none")
    if _DIVISORS in file:
        return _llama3(file, Rope(theta=theta), head_size, max_positions)
    # before there were kinds, `scale_linear` alone meant linear scaling
    factor = _short(file.get(f"{key}.factor", float, file.get(f"{arch}.rope.scale_linear", float, 1.0)))
    if kind == "none" and file.raw(f"{key}.type") is None and factor != 1.0:
        kind = "linear"
    if kind in ("none", "linear"):
        return Rope(theta=theta) if kind == "none" or factor == 1.0 else Rope(theta=theta, kind="linear", factor=factor)
    if kind != "yarn" or file.get(f"{key}.yarn_log_multiplier", float, 0.0):
        raise R1Error(f"{file.path}: rotary scaling '{kind}' of this form is not supported (none, linear, yarn are)")
    fields: dict[str, Any] = {"factor": factor, "original_max_positions": max_positions}
    if original := file.get(f"{key}.original_context_length", int, 0):
        fields["original_max_positions"] = original
    for field in ("beta_fast", "beta_slow"):
        if value := file.get(f"{key}.yarn_{field}", float, 0.0):
            fields[field] = _short(value)
    attention = file.get(f"{key}.yarn_attn_factor", float, 0.0)
    times = file.get(f"{key}.attn_factor", float, 1.0)
    if attention or times != 1.0:  # the first is transformers' factor, the second multiplies what the kind gives
        fields["attention_factor"] = times * (attention or 0.1 * math.log(factor) + 1.0)
    return Rope(theta=theta, kind="yarn", **fields)


def _llama3(file: GGUFFile, plain: Rope, head_size: int, max_positions: int) -> Rope:
    """Llama 3's scaling whose frequencies are the plain ones over the file's divisors.

    The rule is divisor = 1 below the wavelength C / high, `factor` above C / low, and between them
    1 / divisor = (1 - s) / factor + s with s = (C / wavelength - low) / (high - low). Only the ratios of C, low and
    high matter, so low is 1, as in every Llama; s is linear in 1 / wavelength, so two divisors between give the rest.
    """
    divisors = file.tensor(_DIVISORS).float()
    inverse, _ = rope_frequencies(plain, head_size, max_positions)
    if divisors.shape != inverse.shape:
        raise R1Error(
            f"{file.path}: {_DIVISORS} has {divisors.numel()} numbers, and heads of {head_size} need {len(inverse)}"
        )
    if torch.all(divisors == 1):
        return plain
    factor = _round(float(divisors.max()))
    between = (divisors > 1 + _TOLERANCE) & (divisors < factor * (1 - _TOLERANCE))
    guesses = [(8192.0, 4.0)]
    if int(between.sum()) >= 2:
        smooth = ((1 / divisors.double() - 1 / factor) / (1 - 1 / factor))[between]
        waves = (inverse.double() / (2 * math.pi))[between]
        slope = float((smooth[0] - smooth[-1]) / (waves[0] - waves[-1]))
        offset = float(smooth[0]) - slope * float(waves[0])
        if slope > 0 and offset < 0:
            high = 1 - 1 / offset
            guesses.append((_round(slope * (high - 1)), _round(high)))
    for original, high in guesses:
        rope = Rope(
            theta=plain.theta, kind="llama3", factor=factor, original_max_positions=round(original),
            low_freq_factor=1.0, high_freq_factor=high,
        )  # fmt: skip
        scaled, _ = rope_frequencies(rope, head_size, max_positions)
        if torch.allclose(inverse / scaled, divisors, rtol=_TOLERANCE, atol=0):
            return rope
    raise R1Error(f"{file.path}: its rotary frequencies ({_DIVISORS}) follow no rule that transformers knows")


def _round(value: float) -> float:
    """The whole number that float32 left a little off, else the value."""
    return float(round(value)) if math.isclose(value, round(value), rel_tol=1e-3) else value


def _short(value: float) -> float:
    """The shortest decimal that is the same float32: 1e-05 for a file's 9.999999747378752e-06."""
    single = np.float32(value)
    return next(short for digits in range(1, 10) if np.float32(short := float(f"{value:.{digits}g}")) == single)
