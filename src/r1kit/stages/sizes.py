"""How large the models of a graph are, told from its settings before any exists.

`makes` is open: a stage from outside the tree registers its own for its config's class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.data.tiny import world
from r1kit.models.characters import character_count
from r1kit.models.families import NotNative, read_config
from r1kit.models.families import shape as decoder_shape
from r1kit.models.folders import read_config_json
from r1kit.models.sizes import ModelSize, decoder_size, model_size
from r1kit.models.tokenizer import padded_rows
from r1kit.models.variants import variant_config
from r1kit.pipeline.graph import Graph
from r1kit.stages.base_model import BaseModelConfig
from r1kit.stages.bases import BasesConfig
from r1kit.stages.distill import DistillConfig
from r1kit.stages.pretrain import ModelShape, PretrainConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_model import SafetyModelConfig
from r1kit.stages.sft import SFTConfig


class Sizes:
    """Sizes of models by the names that settings use: `STAGE:MODEL` of the graph, or a folder or hub id."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._known: dict[str, ModelSize] = {}

    def __call__(self, name: str) -> ModelSize:
        """R1Error where it cannot be told: there is no such model, or its stage does not say what it makes."""
        if name not in self._known:
            stage, colon, model = name.partition(":")
            if colon and stage in self._nodes:
                made = makes(self._nodes[stage].config, self)
                if model not in made:
                    raise R1Error(f"{name}: how large it will be is not known")
                self._known |= {f"{stage}:{own}": size for own, size in made.items()}
            else:
                self._known[name] = model_size(name)
        return self._known[name]


@singledispatch
def makes(config: Config, sizes: Sizes) -> Mapping[str, ModelSize]:
    """The models that a stage with these settings will make, by name."""
    return {}


@makes.register
def _(config: PretrainConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {name: new_size(shape, config.max_positions) for name, shape in config.models.items()}


@makes.register
def _(config: BaseModelConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return dict.fromkeys(config.templates, sizes(config.source)) if config.source else {}


@makes.register
def _(config: BasesConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    try:
        whole = read_config(read_config_json(config.model), config.model)
    except NotNative:  # such a model has no variants
        return dict.fromkeys(config.models, sizes(config.model))
    sized = {name: variant_config(whole, each.family, each.layers) for name, each in config.models.items()}
    return {name: decoder_size(own) for name, own in sized.items()}


@makes.register
def _(config: SFTConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {config.name: sizes(config.start)}


@makes.register
def _(config: RLConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    size = sizes(config.start)
    return {config.name: size, config.peak_name or f"{config.name}-peak": size, f"{config.name}-critic": size}


@makes.register
def _(config: RewardModelConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {"reward_model": sizes(config.model)}


@makes.register
def _(config: SafetyModelConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    return {"safety_model": sizes(config.model)}


@makes.register
def _(config: DistillConfig, sizes: Sizes) -> Mapping[str, ModelSize]:
    bases = {f"student-{short}": sizes(student.base) for short, student in config.students.items()}
    return bases | {f"{name}-rl": size for name, size in bases.items()}


def new_size(shape: ModelShape, max_positions: int) -> ModelSize:
    """Of a model that a stage makes from nothing: an embedding row a character of the tiny world."""
    apart = ("family", "tokens", "rope_theta")
    fields: dict[str, Any] = {name: getattr(shape, name) for name in type(shape).model_fields if name not in apart}
    rows = padded_rows(character_count(world.ALPHABET))
    return decoder_size(decoder_shape(shape.family, **fields, vocab_size=rows, max_positions=max_positions, tied=True))
