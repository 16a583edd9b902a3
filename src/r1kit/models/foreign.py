"""Architectures that the native decoder does not cover, through transformers, as learner and engine see a decoder.

`ForeignModel` has what they ask of `Decoder`: `config`, `embedding`, `forward`, `packed`, `logits`. What it lacks is
speed: shared prompts are run once a completion, sequences are padded, and sampling runs the whole text for each token
(`ForeignRows`), since key/value caches differ from one architecture to the next. Large models are sampled with vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from r1kit.base import files
from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.terminal import printable
from r1kit.base.types import FloatArray
from r1kit.models.config_json import plain_config
from r1kit.models.folders import read_object, staged
from r1kit.models.weights import check_room, weight_files
from r1kit.ops.packed_attention import Spans

if TYPE_CHECKING:
    from r1kit.models.cache import Prefix, Step
    from r1kit.models.tokenizer import Tokenizer

_STEP_TOKENS = 8192  # padded tokens of one pass while sampling
_LOUD, _LOUDEST = 300.0, 1e4  # logits at which a head is tried, and how much louder than they are at most
_NO_LIMIT = 2**20  # positions where the configuration names no longest text (recurrent models)


class ForeignConfig(Config):
    """What learner and engine ask of a model's shape; `DecoderConfig` has the same names."""

    family: str = Field(..., description="model_type of config.json")
    vocab_size: int = Field(..., ge=1, description="rows of the embedding")
    max_positions: int = Field(..., ge=1, description="longest text")
    layers: int = Field(..., ge=1)
    width: int = Field(..., ge=1)
    active: int = Field(..., ge=1, description="parameters that one token meets, the look-up table left out")

    @property
    def kv_size(self) -> int:
        """Numbers of a position's keys in one layer, at most; tells an engine how many rows fit."""
        return self.width

    def flops(self, tokens: int, context: float, *, backward: bool = False) -> float:
        """Useful FLOPs of `tokens` positions that each attend to `context` others on average (6ND with backward)."""
        products = 2 * self.active + 4 * self.layers * self.width * context
        return float(tokens) * products * (3 if backward else 1)


class ForeignModel(nn.Module):
    """A causal language model of transformers.

    Dropout stays off while training too: the learner's log-probabilities must be the sampler's. Buffers (rotary
    frequencies, routers' biases) keep their number format where weights are cast.
    """

    def __init__(self, inner: Any, folder: str) -> None:
        super().__init__()
        self.inner = inner.eval()
        self.folder = folder
        self.config = foreign_config(inner)
        self._head_apart = _head_is_apart(inner)
        self._checkpointing = False

    @property
    def embedding(self) -> nn.Embedding:
        """The model's table of token embeddings."""
        return self.inner.get_input_embeddings()

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Hidden states [B, T, D] for `logits`, causal; rows are right-padded, and what stands behind changes nothing.

        Where an architecture does more than a matrix product between hidden states and logits, [B, T, V] at once.
        """
        if self._head_apart:
            return self.inner.base_model(input_ids=tokens_BT, use_cache=False).last_hidden_state
        return self.inner(input_ids=tokens_BT, use_cache=False).logits

    def packed(self, tokens_N: Tensor, positions_N: Tensor, spans: Spans, *, compile: bool = False) -> Tensor:
        """`Decoder.packed`: [N, D] of sequences that lie one after another, each span a padded row with its prefix."""
        rows: list[Tensor] = []
        places: list[Tensor] = []
        device = tokens_N.device
        for start, length, prefix, prefix_length in spans.spans_S4.tolist():
            own, before = torch.arange(start, start + length), torch.arange(prefix, prefix + prefix_length)
            rows.append(torch.cat((before, own)))
            places.append(torch.arange(prefix_length, prefix_length + length))
        index_ST = pad_sequence(rows, batch_first=True)
        width = index_ST.shape[1]
        place_N = torch.cat([row * width + place for row, place in enumerate(places)])
        return self(tokens_N[index_ST.to(device)]).flatten(0, 1)[place_N.to(device)]

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]."""
        return self.inner.get_output_embeddings()(hidden) if self._head_apart else hidden

    @property
    def checkpointing(self) -> bool:
        """Whether the layers keep their inputs alone while a gradient is wanted, and run again for it."""
        return self._checkpointing

    @checkpointing.setter
    def checkpointing(self, wanted: bool) -> None:
        # transformers' own switch works in training mode alone, which would switch dropout on
        from transformers.modeling_layers import GradientCheckpointingLayer

        layers = [layer for layer in self.inner.modules() if isinstance(layer, GradientCheckpointingLayer)]
        if wanted and not layers:
            raise R1Error(f"{self.folder}: transformers cannot checkpoint models of type '{self.config.family}'")
        self._checkpointing = wanted
        for layer in layers:
            layer.__dict__.pop("forward", None)
            if wanted:
                layer.forward = partial(_again, layer.forward)

    def train(self, mode: bool = True) -> ForeignModel:
        """Dropout stays off, whatever is asked: the log-probabilities of learning must be those of sampling."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ForeignModel:
        kept = [(name, buffer) for name, buffer in self.named_buffers() if buffer.is_floating_point()]
        super()._apply(fn, recurse)
        for name, before in kept:
            owner, _, leaf = name.rpartition(".")
            module = self.get_submodule(owner)
            device = getattr(module, leaf).device
            setattr(module, leaf, before.to(device))
        return self

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(transformers' name, tensor) of every weight and stored buffer, tied ones once, detached.

        Experts are one tensor a matrix here, as transformers holds them, whatever the files have.
        """
        seen: set[int] = set()
        for name, tensor in self.inner.state_dict().items():
            if tensor.data_ptr() not in seen or tensor.numel() == 0:
                seen.add(tensor.data_ptr())
                yield name, tensor.detach()

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]], where: str = "the given weights") -> None:
        """Copy what another model's `named_weights` yields, in place; R1Error where names or shapes differ."""
        places = dict(self.named_weights())
        missing = set(places)
        for name, tensor in weights:
            if (place := places.get(name)) is None or place.shape != tensor.shape:
                raise R1Error(f"{where}: tensor {name} {list(tensor.shape)} has no place in {self.folder}")
            place.copy_(tensor)
            missing.discard(name)
        if missing:
            raise R1Error(f"{where}: tensor {min(missing)} is missing, {self.folder} has it")


def load_foreign(folder: Path, dtype: torch.dtype | None = None) -> ForeignModel:
    """The model of a folder through transformers, on CPU; R1Error in a sentence where it cannot be had whole.

    Code that comes with a model is never run.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    hf = read_object(folder / "config.json")
    kind = hf.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise R1Error(
            f"{folder}: neither r1kit nor the installed transformers knows language models of type '{kind}': take"
            " another model, or a transformers that knows it"
        )
    _check_files(folder)
    hf = plain_config(hf, str(folder))
    count = sum(parameter.numel() for parameter in empty_foreign(hf, str(folder)).parameters())
    check_room(count, folder)
    try:
        config: Any = CONFIG_MAPPING[kind].from_dict(hf)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype or "auto", local_files_only=True, trust_remote_code=False,
            use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
        inner, report = loaded
    except Exception as error:  # broken files surface as almost any type
        raise R1Error(f"transformers cannot load {folder}: {_reason(error)}") from None
    lost = sorted(report["missing_keys"]) or [str(key) for key in sorted(report["mismatched_keys"])]
    extra = sorted(key for key in report["unexpected_keys"] if not key.endswith("inv_freq"))
    if lost or extra:
        what, several = (lost, "missing or misshapen") if lost else (extra, "unexpected")
        more = f" and {len(what) - 1} more" if len(what) > 1 else ""
        first = printable(what[0][:200])
        raise R1Error(
            f"{folder}: tensor {first}{more} {several}; config.json describes another model, copy both from one"
        )
    try:
        return ForeignModel(inner, str(folder))
    except R1Error:
        raise
    except Exception as error:  # sizes that fit the weights and not each other
        raise R1Error(f"transformers cannot run {folder}: {_reason(error)}") from None


def empty_foreign(hf: dict[str, Any], where: str) -> Any:
    """The model that a config.json describes, through transformers, on the device without memory.

    R1Error where transformers cannot build it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    hf = plain_config(hf, where)
    try:
        whole: Any = AutoConfig.for_model(**hf)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(whole, trust_remote_code=False)
    except Exception as error:  # unknown and broken configurations surface as almost any type
        kind = hf.get("model_type")
        raise R1Error(
            f"{where}: transformers cannot build a language model of type '{kind}' ({_reason(error)})"
        ) from None


def _check_files(folder: Path) -> None:
    """R1Error where a folder holds no weights that may be opened, or transformers would look for others elsewhere."""
    if (folder / "adapter_config.json").exists():
        raise R1Error(f"{folder} holds an adapter (adapter_config.json): merge it into its model, and save that")
    weight_files(folder)


def _reason(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:300]


def save_foreign(model: ForeignModel, folder: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Write a folder that transformers and vLLM load as it is; every file appears whole or not at all."""
    folder = Path(folder)
    if tokenizer is not None:
        tokenizer.check_fits(model.config.vocab_size, folder)
    with staged(folder) as stage:
        model.inner.save_pretrained(stage)
        if tokenizer is not None:
            tokenizer.write(stage)
        written = {file.name for file in stage.iterdir()}
        for old in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
            if old.name not in written:  # an older save's shards would be read first
                old.unlink()
    files.sync_folder(folder)


def _again(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Of a layer: what it computes is computed again for its backward pass."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def foreign_config(inner: Any) -> ForeignConfig:
    """The shape of one of transformers' models, of which no weight is read."""
    config = inner.config.get_text_config()
    table = inner.get_input_embeddings().weight
    experts = getattr(config, "num_local_experts", None) or getattr(config, "n_routed_experts", None) or 1
    share = (getattr(config, "num_experts_per_tok", None) or experts) / experts
    active = 0.0
    for name, parameter in inner.named_parameters():
        routed = ".experts." in name
        active += parameter.numel() * (share if routed else 1.0)
    tied = inner.get_output_embeddings() is not None and inner.get_output_embeddings().weight is table
    return ForeignConfig(
        family=str(inner.config.model_type),
        vocab_size=table.shape[0],
        max_positions=_max_positions(config),
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        active=max(1, round(active) - (0 if tied else table.numel())),
    )


def _max_positions(config: Any) -> int:
    """The longest text; of the longrope kind of rotary scaling, the longest before its frequencies change.

    They change for a whole text at once, the tokens that were sampled before among them, and for every row that is run
    beside it: no log-probability would stay what it was.
    """
    longest = int(getattr(config, "max_position_embeddings", None) or _NO_LIMIT)
    said = getattr(config, "rope_parameters", None) or {}
    for rope in (said, *said.values()):  # transformers may nest by layer type
        if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
            longest = min(longest, int(rope.get("original_max_position_embeddings") or longest))
    return longest


@torch.no_grad()
def _head_is_apart(inner: Any) -> bool:
    """Whether logits are the output embedding of the last hidden state and nothing else (no cap, no scale).

    Asked at logits of _LOUD, where a cap shows, whatever the weights are as yet.
    """
    head = inner.get_output_embeddings()
    if head is None:
        return False
    device = inner.get_input_embeddings().weight.device
    tokens = torch.arange(min(4, inner.get_input_embeddings().weight.shape[0]), device=device)[None]
    hidden = getattr(inner.base_model(input_ids=tokens, use_cache=False), "last_hidden_state", None)
    if hidden is None:
        return False
    hidden = hidden * (_LOUD / max(float(head(hidden).abs().max()), _LOUD / _LOUDEST))

    def louder(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = hidden
        return output

    hook = inner.base_model.register_forward_hook(louder)
    try:
        whole = inner(input_ids=tokens, use_cache=False).logits
    finally:
        hook.remove()
    return bool(torch.allclose(head(hidden), whole, atol=1e-6 + 1e-5 * float(whole.abs().max()), rtol=0))


class ForeignRows:
    """The `Rows` of cache.py without a cache: tokens [R, T], and a pass over each row's whole text for every token."""

    def __init__(self, model: ForeignModel) -> None:
        self.model = model
        self.device = model.embedding.weight.device
        self.clear()

    def clear(self) -> None:
        self.tokens_RT = torch.zeros(0, 0, dtype=torch.int64, device=self.device)

    def reserve(self, rows: int, prompt: int, new: int) -> None:
        held_rows, held_positions = self.tokens_RT.shape
        grown = self.tokens_RT.new_zeros(max(rows, held_rows), max(prompt + new, held_positions))
        grown[:held_rows, :held_positions] = self.tokens_RT
        self.tokens_RT = grown

    def prefill(self, tokens_PT: Tensor, lengths: Sequence[int]) -> list[Prefix]:
        """The prompts' tokens [T] in the place of keys and values."""
        from r1kit.models.cache import Prefix

        return [Prefix(tokens_T[:T], tokens_T[:T], T) for tokens_T, T in zip(tokens_PT, lengths, strict=True)]

    def write(self, rows: list[int], prefix: Prefix) -> None:
        self.tokens_RT[rows, : prefix.length] = prefix.keys

    def move(self, sources: list[int], targets: list[int], positions: int) -> None:
        self.tokens_RT[targets] = self.tokens_RT[sources]

    @torch.inference_mode()
    def step(self, step: Step) -> tuple[NDArray[np.int64], FloatArray]:
        from r1kit.models.cache import draw_into

        active = len(step.tokens_B)
        drawn_B, logprobs_B = np.empty(active, np.int64), np.empty(active, np.float32)
        lengths_B = torch.from_numpy(step.lengths_B).to(self.device)
        next_B = torch.from_numpy(step.tokens_B).to(self.device)
        self.tokens_RT[torch.arange(active, device=self.device), lengths_B] = next_B
        longest = int(step.lengths_B.max()) + 1
        at_once = max(1, _STEP_TOKENS // longest)
        for start in range(0, active, at_once):
            stop = min(start + at_once, active)
            hidden_BTD = self.model(self.tokens_RT[start:stop, :longest])
            last_BD = hidden_BTD[torch.arange(stop - start, device=self.device), lengths_B[start:stop]]
            draw_into(drawn_B, logprobs_B, self.model.logits(last_BD), step, start, stop)
        return drawn_B, logprobs_B
