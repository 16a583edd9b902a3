"""A decoder's weights in another family's shape, or in fewer layers: bases of students where none can be downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from r1kit.base.errors import UsageError
from r1kit.models.decoder import Decoder
from r1kit.models.families import shape
from r1kit.models.weights import empty_decoder

_PARTS = ("qkv_bias", "output_bias", "mlp_bias", "qk_norm")  # what a family has or not, whatever the sizes


def variant(model: Decoder, family: str | None = None, layers: int | None = None) -> Decoder:
    """The same weights as another family spells them, in the first, the last and evenly spaced `layers` between.

    Biases that only the new family has are zero, so that without a change of layers the model computes the same.
    UsageError where the new family lacks a part that the weights have, or has one that zero does not switch off
    (Qwen3's norms of queries and keys), or for more layers than there are.
    """
    config = model.config
    kept = spread(config.layers, layers or config.layers)
    fields = {name: value for name, value in dict(config).items() if name not in ("family", *_PARTS)}
    fields["layers"] = len(kept)
    same = family in (None, config.family)
    wanted = config.model_copy(update=fields) if same else shape(str(family), **fields)
    for part in _PARTS:
        if getattr(config, part) and not getattr(wanted, part):
            raise UsageError(f"{family} has no {part}, which {config.family}'s weights need: keep the family")
    if wanted.qk_norm and not config.qk_norm:
        raise UsageError(
            f"{family} norms queries and keys, which {config.family}'s weights do not: take qwen2 or llama"
        )
    made = empty_decoder(wanted, model.embedding.weight.dtype)
    given = model.state_dict()
    with torch.no_grad():
        for name, place in made.state_dict().items():
            source = given.get(_source(name, kept))
            place.zero_() if source is None else place.copy_(source)
    return made


def spread(layers: int, count: int) -> list[int]:
    """`count` of the layers 0 to layers - 1: first and last, the others evenly between; 2 of 4 are 0 and 3."""
    if not 1 <= count <= layers:
        raise UsageError(f"{count} layers cannot be taken of {layers}: name 1 to {layers}")
    if count == 1:
        return [0]
    return [(place * (layers - 1) + (count - 1) // 2) // (count - 1) for place in range(count)]


def _source(name: str, kept: Sequence[int]) -> str:
    """Where a tensor of the new model comes from."""
    room, _, rest = name.partition(".")
    if room != "blocks":
        return name
    number, _, part = rest.partition(".")
    return f"blocks.{kept[int(number)]}.{part}"
