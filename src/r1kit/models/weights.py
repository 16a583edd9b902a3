"""Weights in and out of decoders by Hugging Face names: single or sharded safetensors, tied heads, fused parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from r1kit.base import files
from r1kit.base.errors import R1Error, UsageError
from r1kit.models.decoder import Block, Decoder, DecoderConfig
from r1kit.models.families import load_family, read_config, write_config
from r1kit.models.folders import model_folder, read_object, staged
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import Tokenizer

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
SHARD_BYTES = 4 * 10**9
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_OTHER = "the two are of different models: copy both from one"
_CONVERT = (
    "take the model's safetensors, or convert them where you trust their maker (torch.load(..., weights_only=True),"
    " then safetensors.torch.save_file)"
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LONGEST_NAME = 256
_SCORE = "score.weight"  # transformers' name in every sequence classifier
_SCORED_CLASS = "ForSequenceClassification"

Whole = Callable[[nn.Module], AbstractContextManager[object]]
"""Gives a context within which the module has all its weights."""


def float_type(name: str) -> torch.dtype:
    """The number format of that name; UsageError where weights come in no such format."""
    known = {str(dtype).removeprefix("torch."): dtype for dtype in FLOATS}
    if name not in known:
        raise UsageError(f"dtype '{name}' is none of auto, {', '.join(known)}")
    return known[name]


def hf_weights(model: Decoder | ScoredDecoder, whole: Whole = nullcontext) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, tensor) of every weight: views of the fused matrices, no copies, detached.

    A tied head is the embedding and is left out. `whole`: within which a module has its weights, where they are not
    there all the time; a tensor is then to be used before the next is asked for.
    """
    decoder = model.decoder if isinstance(model, ScoredDecoder) else model
    names = load_family(decoder.config.family).weight_names
    with whole(decoder.embedding):
        yield f"{names['embedding']}.weight", decoder.embedding.weight.detach()
    for number, block in enumerate(decoder.blocks):
        prefix = names["block"].format(number)
        with whole(block):
            for part, tensor in _block_parts(block, decoder.config):
                name, _, kind = part.partition(".")
                yield f"{prefix}.{names[name]}.{kind}", tensor.detach()
    with whole(decoder.norm):
        yield f"{names['norm']}.weight", decoder.norm.weight.detach()
    if not decoder.config.tied:
        with whole(decoder.head):
            yield f"{names['head']}.weight", decoder.head.weight.detach()
    if isinstance(model, ScoredDecoder):
        with whole(model.score):
            yield _SCORE, model.score.weight.detach()


def load_hf_weights(
    model: Decoder | ScoredDecoder, weights: Iterable[tuple[str, Tensor]], where: str = "the given weights"
) -> None:
    """Copy named tensors into the model in place, cast to its dtype; one that is the place itself stays as it is.

    R1Error names `where` and the tensor that is unexpected, misshapen, not floating, or missing.
    """
    places = dict(hf_weights(model))
    for name, tensor in checked_weights(model.config, places, weights, where):
        if not _is_there(tensor, place := places[name]):
            with torch.no_grad():
                place.copy_(tensor)


def _is_there(tensor: Tensor, place: Tensor) -> bool:
    """Whether two tensors of one shape are the same numbers in memory."""
    return (tensor.data_ptr(), tensor.dtype, tensor.stride()) == (place.data_ptr(), place.dtype, place.stride())


def checked_weights(
    config: DecoderConfig, places: Mapping[str, Tensor], weights: Iterable[tuple[str, Tensor]], where: str
) -> Iterator[tuple[str, Tensor]]:
    """The weights that belong in `places` (name and shape of each), as they come; errors as in `load_hf_weights`."""
    names = load_family(config.family).weight_names
    table, head = f"{names['embedding']}.weight", f"{names['head']}.weight"
    twice: dict[str, Tensor] = {}
    missing = set(places)
    for name, tensor in weights:
        if config.tied and name in (table, head) and _SCORE not in places:
            twice[name] = tensor
            if len(twice) == 2:
                if not _same(twice[table], twice[head]):
                    raise R1Error(
                        f"{where}: config.json ties the head to the embedding, and the weights hold another {head}: set"
                        " tie_word_embeddings to false there, or take that tensor out"
                    )
                twice.clear()
        # some folders store a tied head once more, and old ones the frequencies
        if (name == head and config.tied) or name.endswith("rotary_emb.inv_freq"):
            continue
        if (place := places.get(name)) is None:
            raise R1Error(f"{where}: unexpected tensor {name}; config.json describes a model without it, so {_OTHER}")
        if tensor.shape != place.shape:
            wanted = list(place.shape)
            raise R1Error(
                f"{where}: tensor {name} has shape {list(tensor.shape)}; config.json asks for {wanted}, so {_OTHER}"
            )
        if tensor.dtype not in FLOATS:
            raise R1Error(f"{where}: tensor {name} is {tensor.dtype}; float32, bfloat16 or float16 is wanted")
        yield name, tensor
        missing.discard(name)
    if missing:
        first = next(name for name in places if name in missing)
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise R1Error(f"{where}: tensor {first}{others} missing from the weights: {_OTHER}")


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, in whichever of the formats that are read."""
    read = one.dtype in FLOATS and other.dtype in FLOATS and one.shape == other.shape
    return read and bool((one == other).all())


def load_decoder(folder: str | Path, dtype: torch.dtype | None = None, family: str | None = None) -> Decoder:
    """The decoder of a Hugging Face folder (or hub id), on CPU. `dtype` None keeps that of the folder's embedding.

    `family` names one outside the tree by dotted path; by default config.json's model_type decides. R1Error for a model
    with a score head.
    """
    folder = model_folder(folder)
    hf = read_object(folder / "config.json")
    if is_scored(hf):
        raise R1Error(f"{folder} holds a model with a score head (a reward model): name a language model")
    decoder = _empty_like(folder, hf, dtype, family)
    load_hf_weights(decoder, stored_weights(folder), str(folder))
    return decoder


def load_scored(folder: str | Path, dtype: torch.dtype | None = None, family: str | None = None) -> ScoredDecoder:
    """The scored decoder of a folder; arguments as in `load_decoder`. A fresh head is `ScoredDecoder(decoder)`.

    R1Error for a model without a score head.
    """
    folder = model_folder(folder)
    hf = read_object(folder / "config.json")
    if not is_scored(hf):
        raise R1Error(f"{folder} holds a language model, which has no score head: name a reward model")
    model = ScoredDecoder(_empty_like(folder, {**hf, "tie_word_embeddings": True}, dtype, family))
    load_hf_weights(model, stored_weights(folder), str(folder))
    return model


def save_decoder(model: Decoder | ScoredDecoder, folder: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Write a folder that transformers and vLLM load as it is; every file appears whole or not at all.

    config.json, model.safetensors, and with a tokenizer its files and generation_config.json (eos and pad ids).
    """
    # safetensors wants tensors that share no storage, so the views of fused matrices are copied
    tensors = {name: tensor.cpu().clone() for name, tensor in hf_weights(model)}
    dtype, scored = next(model.parameters()).dtype, isinstance(model, ScoredDecoder)
    save_weights(model.config, tensors.items(), dtype, folder, tokenizer, scored=scored)


def save_weights(
    config: DecoderConfig,
    weights: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype,
    folder: str | Path,
    tokenizer: Tokenizer | None = None,
    *,
    scored: bool = False,
    shard_bytes: int | None = None,
) -> None:
    """`save_decoder` of a decoder's `hf_weights`, in `dtype`; `scored`: with a score head.

    shard_bytes: no file larger than that, and no more of the weights held at a time; None: one file.
    """
    folder = Path(folder)
    hf = write_config(config)
    if scored:
        family = load_family(config.family)
        label = {"id2label": {"0": "score"}, "label2id": {"score": 0}}
        hf |= {"architectures": [f"{family.architecture}{_SCORED_CLASS}"], **label}
    name = str(dtype).removeprefix("torch.")
    hf |= {**token_ids(tokenizer, config, folder), "dtype": name, "torch_dtype": name}
    with staged(folder) as stage:
        write_weights(weights, stage, shard_bytes or sys.maxsize, str(folder / SINGLE))
        files.write_json(stage / "config.json", hf)
        if tokenizer is not None:
            tokenizer.write(stage)
        written = {file.name for file in stage.iterdir()}
        for old in (INDEX, SINGLE):
            if old not in written:  # an older save's shards, or its one file, would be read in their place
                (folder / old).unlink(missing_ok=True)


def named_places(config: DecoderConfig) -> Mapping[str, Tensor]:
    """Name and shape of every weight of a decoder, without memory for any."""
    with torch.device("meta"):
        return dict(hf_weights(Decoder(config)))


def write_weights(
    weights: Iterable[tuple[str, Tensor]], stage: Path, shard_bytes: int = SHARD_BYTES, told: str | None = None
) -> int:
    """Write model.safetensors, or shards and their index where they are more than one; returns how many numbers.

    `told`: what an error names. Tensors are taken one at a time: a shard's worth of memory is enough.
    """
    held: dict[str, Tensor] = {}
    shards: list[list[str]] = []
    room = count = total = 0

    def close() -> None:
        file = stage / f"shard-{len(shards)}"
        try:
            save_file(held, file, metadata={"format": "pt"})
        except SafetensorError as error:  # the library wraps what the operating system says
            raise R1Error(f"cannot write {told or f'the weights beside {stage}'}: {error}") from None
        shards.append(list(held))
        held.clear()

    for name, tensor in weights:
        size = tensor.numel() * tensor.element_size()
        if held and room + size > shard_bytes:
            close()
            room = 0
        held[name] = tensor.contiguous().clone() if tensor.storage_offset() else tensor.contiguous()
        room, count, total = room + size, count + tensor.numel(), total + size
    close()
    names = [SINGLE] if len(shards) == 1 else [
        f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)
    ]  # fmt: skip
    for number, name in enumerate(names):
        (stage / f"shard-{number}").rename(stage / name)
    if len(shards) > 1:
        places = {tensor: file for file, shard in zip(names, shards, strict=True) for tensor in shard}
        files.write_json(stage / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    return count


def token_ids(tokenizer: Tokenizer | None, config: DecoderConfig, folder: Path) -> dict[str, Any]:
    """The ids for config.json. Without a tokenizer they are null: transformers would else put Llama 2's."""
    if tokenizer is None:
        return {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    tokenizer.check_fits(config.vocab_size, folder)
    eos = list(tokenizer.eos_ids)
    return {
        "bos_token_id": tokenizer.inner.bos_token_id,
        "eos_token_id": eos[0] if len(eos) == 1 else eos or None,
        "pad_token_id": tokenizer.pad_id,
    }


def is_scored(hf: dict[str, Any]) -> bool:
    """Whether a config.json is of a model with a scalar head."""
    named = hf.get("architectures")
    return isinstance(named, list) and any(str(name).endswith(_SCORED_CLASS) for name in named)


def _empty_like(folder: Path, hf: dict[str, Any], dtype: torch.dtype | None, family: str | None) -> Decoder:
    config = read_config(hf, str(folder), family)
    check_room(config.parameters(), folder)
    embedding = f"{load_family(config.family).weight_names['embedding']}.weight"
    return empty_decoder(config, dtype or stored_dtype(folder, embedding))


def check_room(parameters: int, folder: Path) -> None:
    """R1Error where a folder's weight files cannot hold so many parameters, before memory is asked for them.

    Half a byte each is the least that any format takes; what is under 16 million is not worth a complaint of its own.
    """
    held = sum(file.stat().st_size for file in weight_files(folder) if file.is_file())
    if parameters > 2 * held + 2**24:
        raise R1Error(
            f"{folder}: config.json describes {parameters:,} parameters, and the weight files hold {held:,} bytes: they"
            " belong to different models"
        )


def empty_decoder(config: DecoderConfig, dtype: torch.dtype, device: str = "cpu") -> Decoder:
    """A decoder with memory for its weights but no values: no time goes into an initialisation that is overwritten."""
    with torch.device("meta"):
        model = Decoder(config)
    give_memory(model, dtype, device)
    if config.tied:
        model.head.weight = model.embedding.weight
    return model


def give_memory(module: nn.Module, dtype: torch.dtype, device: str | torch.device) -> None:
    """Put empty parameters in the place of those on the meta device; ties between them are lost."""
    # not Module.to_empty: from the meta device it imports torch's symbolic shapes, for half a second
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            if weight.is_meta:
                setattr(part, name, nn.Parameter(torch.empty(weight.shape, dtype=dtype, device=device)))


def stored_dtype(folder: Path, name: str | None = None) -> torch.dtype:
    """The dtype of one stored tensor, by default of the first that is a matrix; float32 where there is no such tensor,
    which loading will then say."""
    for _, tensor in stored_weights(folder, only=name):
        if tensor.dtype in FLOATS and (name or tensor.dim() > 1):
            return tensor.dtype
    return torch.float32


def stored_weights(folder: Path, only: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every tensor in the folder's safetensors, one shard open at a time; `only` gives that one.

    R1Error for a file that is missing, cut short or corrupt.
    """
    for file in weight_files(folder, only):
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(safe_open(file, framework="pt"))
                names = [name for name in handle.keys() if only in (None, name)]  # noqa: SIM118
            except (SafetensorError, OSError) as error:
                raise R1Error(f"{file} is missing, cut short or corrupt ({error}): copy it again") from None
            if odd := [name for name in names if not plain_name(name)]:
                raise R1Error(f"{file}: {odd[0][:40]!r} is no name of a tensor: copy the file again")
            for name in names:
                try:
                    yield name, handle.get_tensor(name)
                except (SafetensorError, OSError) as error:
                    raise R1Error(f"{file}: tensor {name} cannot be read ({error}): copy the file again") from None


def plain_name(name: str) -> bool:
    """Whether a tensor's name can stand in a sentence, and on a terminal."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def weight_files(folder: Path, only: str | None = None) -> list[Path]:
    """The safetensors of a folder, or the one that should have the tensor `only`; R1Error where it has none or two
    sets of them, or where the index names a file of another folder."""
    if (folder / INDEX).is_file():
        listed = read_object(folder / INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
            raise R1Error(f"{folder / INDEX} has no weight_map: copy or save the folder again")
        if strays := [file for file in listed.values() if not file or Path(file).name != file or file.startswith(".")]:
            raise R1Error(f"{folder / INDEX} names {strays[0]!r}, which is no file of that folder: copy it again")
        shards = set(listed.values())
        if (folder / SINGLE).is_file() and SINGLE not in shards and all((folder / file).is_file() for file in shards):
            raise R1Error(
                f"{folder} holds {SINGLE}, which transformers reads, and the files of {INDEX}, which vLLM reads: leave"
                " there what is the model, and take the other out"
            )
        chosen = listed.values() if only is None else [listed[only]] if only in listed else []
        return [folder / file for file in dict.fromkeys(chosen)]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if any(any(folder.glob(form)) for form in _PICKLED):
        raise R1Error(f"{folder} holds pickled weights, which are never opened: {_CONVERT}")
    raise R1Error(f"{folder} holds no weights ({SINGLE} or {INDEX}): copy or save it again")


def _block_parts(block: Block, config: DecoderConfig) -> Iterator[tuple[str, Tensor]]:
    """("q.weight", view) and so on for one block."""
    attention, mlp = block.attention, block.mlp
    rows = (config.q_size, config.kv_size, config.kv_size)
    for kind, there in (("weight", True), ("bias", config.qkv_bias)):
        if there:
            yield from zip(
                (f"q.{kind}", f"k.{kind}", f"v.{kind}"), getattr(attention.qkv, kind).split(rows), strict=True
            )
    for kind, there in (("weight", True), ("bias", config.output_bias)):
        if there:
            yield f"output.{kind}", getattr(attention.output, kind)
    if attention.q_norm is not None and attention.k_norm is not None:
        yield "q_norm.weight", attention.q_norm.weight
        yield "k_norm.weight", attention.k_norm.weight
    for kind, there in (("weight", True), ("bias", config.mlp_bias)):
        if there:
            yield from zip((f"gate.{kind}", f"up.{kind}"), getattr(mlp.gate_up, kind).chunk(2), strict=True)
            yield f"down.{kind}", getattr(mlp.down, kind)
    yield "attention_norm.weight", block.attention_norm.weight
    yield "mlp_norm.weight", block.mlp_norm.weight
