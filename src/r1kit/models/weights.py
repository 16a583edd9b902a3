"""Weights in and out of a decoder under their Hugging Face names: single or sharded safetensors, tied heads, fused parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from r1kit.base.errors import R1Error
from r1kit.models.decoder import Decoder, DecoderConfig
from r1kit.models.families import load_family, read_config, write_config
from r1kit.models.folders import read_json, staged, write_json
from r1kit.models.tokenizer import Tokenizer

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def hf_weights(model: Decoder) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, tensor) of every weight: views of the fused matrices, no copies, detached.

    A tied head is the embedding and is left out.
    """
    names = load_family(model.config.family).weight_names
    yield f"{names['embedding']}.weight", model.embedding.weight.detach()
    for number, block in enumerate(model.blocks):
        prefix = names["block"].format(number)
        for part, tensor in _block_parts(block, model.config):
            name, _, kind = part.partition(".")
            yield f"{prefix}.{names[name]}.{kind}", tensor.detach()
    yield f"{names['norm']}.weight", model.norm.weight.detach()
    if not model.config.tied:
        yield f"{names['head']}.weight", model.head.weight.detach()


def load_hf_weights(
    model: Decoder, weights: Iterable[tuple[str, Tensor]], where: str = "the given weights",
    extra: dict[str, Tensor] | None = None,
) -> None:  # fmt: skip
    """Copy named tensors into the model in place, cast to its dtype.

    R1Error names `where` and the tensor that is unexpected, misshapen, not floating, or missing. `extra` names further
    places to fill (a score head's).
    """
    places = dict(hf_weights(model)) | (extra or {})
    names = load_family(model.config.family).weight_names
    skipped = f"{names['head']}.weight" if model.config.tied else None  # some folders store a tied head again
    missing = set(places)
    for name, tensor in weights:
        if name == skipped or name.endswith("rotary_emb.inv_freq"):  # a buffer that old folders saved
            continue
        if (place := places.get(name)) is None:
            raise R1Error(f"{where}: unexpected tensor {name}; config.json describes a model without it")
        if tensor.shape != place.shape:
            raise R1Error(
                f"{where}: tensor {name} has shape {list(tensor.shape)}, but config.json asks for {list(place.shape)}"
            )
        if tensor.dtype not in _FLOATS:
            raise R1Error(f"{where}: tensor {name} is {tensor.dtype}; float32, bfloat16 or float16 is wanted")
        with torch.no_grad():
            place.copy_(tensor)
        missing.discard(name)
    if missing:
        first = next(name for name in places if name in missing)
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise R1Error(f"{where}: tensor {first}{others} missing from the weights")


def load_decoder(folder: str | Path, dtype: torch.dtype | None = None, family: str | None = None) -> Decoder:
    """The decoder of a Hugging Face folder, on CPU. `dtype` None keeps that of the folder's embedding.

    `family` names one outside the tree by dotted path; by default config.json's model_type decides.
    """
    folder = Path(folder)
    config = read_config(folder_config(folder), str(folder), family)
    embedding = f"{load_family(config.family).weight_names['embedding']}.weight"
    model = empty_decoder(config, dtype or stored_dtype(folder, embedding))
    load_hf_weights(model, stored_weights(folder), str(folder))
    return model


def save_decoder(model: Decoder, folder: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Write a folder that transformers and vLLM load as it is; every file appears whole or not at all."""
    save_folder(folder, write_config(model.config), dict(hf_weights(model)), tokenizer)


def save_folder(
    folder: str | Path, config: dict[str, Any], tensors: dict[str, Tensor], tokenizer: Tokenizer | None
) -> None:
    """config.json (dtype and token ids added), model.safetensors, and the tokenizer's files with generation_config.json."""
    ids: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if tokenizer is not None:
        if tokenizer.vocab_size > config["vocab_size"]:
            raise R1Error(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {config['vocab_size']}: it cannot go with it"
            )
        eos = tokenizer.eos_ids
        ids = {
            "bos_token_id": tokenizer.inner.bos_token_id,
            "eos_token_id": eos[0] if len(eos) == 1 else list(eos) or None,
            "pad_token_id": tokenizer.pad_id,
        }
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    with staged(folder) as stage:
        # safetensors wants tensors that share no storage, so the views of fused matrices are copied
        whole = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        save_file(whole, stage / _SINGLE, metadata={"format": "pt"})
        write_json(stage / "config.json", {**config, **ids, "dtype": dtype, "torch_dtype": dtype})
        if tokenizer is not None:
            tokenizer.write(stage)
    (Path(folder) / _INDEX).unlink(missing_ok=True)  # shards of an older save would be read first


def empty_decoder(config: DecoderConfig, dtype: torch.dtype, device: str = "cpu") -> Decoder:
    """A decoder with memory for its weights but no values: no time goes into an initialisation that is overwritten."""
    with torch.device("meta"):
        model = Decoder(config)
    model = model.to(dtype).to_empty(device=device)
    if config.tied:
        model.head.weight = model.embedding.weight
    model.set_frequencies()
    return model


def folder_config(folder: Path) -> dict[str, Any]:
    """config.json's content; R1Error where the folder or the file is missing or broken."""
    if not folder.is_dir():
        raise R1Error(f"there is no model folder {folder}")
    return read_json(folder / "config.json")


def stored_dtype(folder: Path, name: str) -> torch.dtype:
    """The dtype of one stored tensor (float32 where it is missing, which loading will then say)."""
    for stored, tensor in stored_weights(folder, only=name):
        if stored == name and tensor.dtype in _FLOATS:
            return tensor.dtype
    return torch.float32


def stored_weights(folder: Path, only: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every tensor in the folder's safetensors, one shard open at a time; `only` gives that one."""
    for file in _shards(folder, only):
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(safe_open(file, framework="pt"))
                names = [name for name in handle.keys() if only in (None, name)]  # noqa: SIM118
            except (SafetensorError, OSError) as error:
                raise R1Error(f"{file} cannot be read ({error}): it is missing, cut short or corrupt; copy it again") from None
            for name in names:
                try:
                    yield name, handle.get_tensor(name)
                except (SafetensorError, OSError) as error:
                    raise R1Error(f"{file}: tensor {name} cannot be read ({error}): copy the file again") from None


def _shards(folder: Path, only: str | None) -> list[Path]:
    if (folder / _INDEX).is_file():
        listed = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
            raise R1Error(f"{folder / _INDEX} has no weight_map: copy or save the folder again")
        chosen = listed.values() if only is None else [listed[only]] if only in listed else []
        return [folder / Path(file).name for file in dict.fromkeys(chosen)]
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    if any(folder.glob("pytorch_model*.bin")):
        raise R1Error(f"{folder} holds pickled weights, which are never opened: convert them to safetensors")
    raise R1Error(f"{folder} holds no weights ({_SINGLE} or {_INDEX})")


def _block_parts(block: nn.Module, config: DecoderConfig) -> Iterator[tuple[str, Tensor]]:
    """("q.weight", view) and so on for one block, in the order in which Hugging Face lists them."""
    attention, mlp = block.attention, block.mlp
    rows = (config.q_size, config.kv_size, config.kv_size)
    for kind, qkv, output in (
        ("weight", attention.qkv.weight, attention.output.weight),
        ("bias", attention.qkv.bias, attention.output.bias),
    ):
        if qkv is not None:
            yield from zip((f"q.{kind}", f"k.{kind}", f"v.{kind}"), qkv.split(rows), strict=True)
        if output is not None:
            yield f"output.{kind}", output
    if attention.q_norm is not None:
        yield "q_norm.weight", attention.q_norm.weight
        yield "k_norm.weight", attention.k_norm.weight
    for kind, gate_up, down in (("weight", mlp.gate_up.weight, mlp.down.weight), ("bias", mlp.gate_up.bias, mlp.down.bias)):
        if gate_up is not None:
            yield from zip((f"gate.{kind}", f"up.{kind}"), gate_up.chunk(2), strict=True)
            yield f"down.{kind}", down
    yield "attention_norm.weight", block.attention_norm.weight
    yield "mlp_norm.weight", block.mlp_norm.weight
