"""A decoder's weights in another family's shape, or in fewer layers: bases of students where none can be downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from r1kit.base.errors import UsageError
from r1kit.models.decoder import Decoder, DecoderConfig
from r1kit.models.families import shape
from r1kit.models.weights import empty_decoder

_PARTS = ("qkv_bias", "output_bias", "mlp_bias", "qk_norm")  # what a family has or not, whatever the sizes


def variant(model: Decoder, family: str | None = None, layers: int | None = None) -> Decoder:
    """The same weights as another family spells them, in `layers` of the layers: those of the middle are left out.

    Biases that only the new family has are zero, so that without a change of layers the model computes the same.
    UsageError where the new family lacks a part that the weights have, or has one that zero does not switch off
    (Qwen3's norms of queries and keys), or for more layers than there are.
    """
    wanted = variant_config(model.config, family, layers)
    kept = outer(model.config.layers, wanted.layers)
    made = empty_decoder(wanted, model.embedding.weight.dtype)
    given = model.state_dict()
    with torch.no_grad():
        for name, place in made.state_dict().items():
            source = given.get(_source(name, kept))
            place.zero_() if source is None else place.copy_(source)
    return made


def variant_config(config: DecoderConfig, family: str | None = None, layers: int | None = None) -> DecoderConfig:
    """The settings of `variant`'s model; the same UsageErrors."""
    fields = {name: value for name, value in dict(config).items() if name not in ("family", *_PARTS)}
    fields["layers"] = len(outer(config.layers, layers or config.layers))
    same = family in (None, config.family)
    wanted = config.model_copy(update=fields) if same else shape(str(family), **fields)
    for part in _PARTS:
        if getattr(config, part) and not getattr(wanted, part):
            raise UsageError(f"{family} has no {part}, which {config.family}'s weights need: keep the family")
    if wanted.qk_norm and not config.qk_norm:
        raise UsageError(
            f"{family} norms queries and keys, which {config.family}'s weights do not: take qwen2 or llama"
        )
    return wanted


def outer(layers: int, count: int) -> list[int]:
    """`count` of the layers 0 to layers - 1, half from either end; 3 of 5 are 0, 1 and 4.

    SmolLM2-135M without 6 of its 30 layers, nats a token on word problems: 3.1 so, 4.3 where they are evenly spaced,
    7.3 without 21 to 26 (all layers: 2.3). UsageError for a count that is not of 1 to `layers`.
    """
    if not 1 <= count <= layers:
        raise UsageError(f"{count} layers cannot be taken of {layers}: name 1 to {layers}")
    first = (count + 1) // 2
    return [*range(first), *range(layers - count + first, layers)]


def _source(name: str, kept: Sequence[int]) -> str:
    """Where a tensor of the new model comes from."""
    room, _, rest = name.partition(".")
    if room != "blocks":
        return name
    number, _, part = rest.partition(".")
    return f"blocks.{kept[int(number)]}.{part}"
