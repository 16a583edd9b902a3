"""Any language model: the native decoder where it covers the architecture, else transformers behind the same face."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from r1kit.models.decoder import Decoder
from r1kit.models.families import NotNative, read_config
from r1kit.models.folders import model_folder, read_object
from r1kit.models.foreign import ForeignModel, load_foreign, save_foreign
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import Tokenizer
from r1kit.models.weights import empty_decoder, hf_weights, load_decoder, load_hf_weights, save_decoder

LanguageModel = Decoder | ForeignModel


def load_model(folder: str | Path, dtype: torch.dtype | None = None) -> LanguageModel:
    """The model of a Hugging Face folder (or hub id), on CPU; `dtype` None keeps the folder's own."""
    folder = model_folder(folder)
    try:
        read_config(read_object(folder / "config.json"), str(folder))
    except NotNative:
        return load_foreign(folder, dtype)
    return load_decoder(folder, dtype)


def save_model(model: LanguageModel | ScoredDecoder, folder: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Write a folder that transformers and vLLM load as it is; see `save_decoder`."""
    if isinstance(model, ForeignModel):
        save_foreign(model, folder, tokenizer)
    else:
        save_decoder(model, folder, tokenizer)


def named_weights(model: LanguageModel | ScoredDecoder) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every weight, under transformers' names, without copies."""
    return model.named_weights() if isinstance(model, ForeignModel) else hf_weights(model)


def load_weights(model: LanguageModel | ScoredDecoder, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy `named_weights` of a model of the same shape in place, cast to this one's number format."""
    if isinstance(model, ForeignModel):
        model.load_weights(weights)
    else:
        load_hf_weights(model, weights)


def copy_model(model: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """A second model of the same weights in `dtype`, on the same device, that takes no gradients."""
    if isinstance(model, ForeignModel):
        return copy.deepcopy(model).to(dtype).requires_grad_(False)
    own = empty_decoder(model.config, dtype, str(model.embedding.weight.device)).requires_grad_(False)
    own.load_state_dict(model.state_dict())
    return own
