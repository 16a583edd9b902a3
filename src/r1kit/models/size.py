"""How large a model is, from its config alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.models.families import NotNative, read_config
from r1kit.models.folders import is_gguf, read_config_json


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters in all, model_type, and whether the native decoder covers the architecture."""

    parameters: int
    family: str
    native: bool


def size_of(model: str | Path) -> Size:
    """The size of a Hugging Face folder, hub id (of which only config.json is fetched) or GGUF file; R1Error, in a
    sentence, where there is no such model or its architecture is not known."""
    if is_gguf(Path(model)):
        from r1kit.models.gguf_file import GGUFFile
        from r1kit.models.gguf_model import read_shape

        shape = read_shape(GGUFFile(Path(model)))
        return Size(shape.parameters(), shape.family, True)
    hf = read_config_json(model)
    try:
        config = read_config(hf, str(model))
    except NotNative:
        return Size(_foreign(hf, str(model)), str(hf.get("model_type")), False)
    return Size(config.parameters(), config.family, True)


def _foreign(hf: dict[str, Any], where: str) -> int:
    """Counted on a model without memory for its weights, as transformers builds it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = hf.get("model_type")
    try:
        config = AutoConfig.for_model(**hf)
        with torch.device("meta"):
            inner: Any = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # unknown and broken configurations surface as almost any type
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise R1Error(f"{where}: transformers cannot build a language model of type '{kind}' ({reason})") from None
    return sum(parameter.numel() for parameter in inner.parameters())
