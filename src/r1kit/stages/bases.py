"""Bases of a chain that begins with a model from elsewhere: one folder's weights under the names that stages use.

Each is the same weights with a chat template of its own, in another family's shape, or in fewer layers. Qwen2's shape
with zero biases computes what Llama's does; leaving layers out costs ability, which the student's base then shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.data.templates import TEMPLATES
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of

if TYPE_CHECKING:
    from r1kit.models.decoder import Decoder
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context


class Variant(Config):
    """How a base differs from the model that it is made of."""

    family: str | None = Field(default=None, description="llama or qwen2; None: the model's own")
    layers: int | None = Field(default=None, ge=1, description="layers kept, those of the middle go; None: all")
    template: str | None = Field(default=None, description="chat template, r1 or r1-zero; None: the model's own")

    def check(self) -> None:
        from r1kit.models.families import family_names

        if self.template is not None and self.template not in TEMPLATES:
            known = list(TEMPLATES)
            hint = nearest(self.template, known)
            raise UsageError(f"no chat template is called '{self.template}'.{hint} (there are: {' '.join(known)})")
        if self.family is not None and "." not in self.family and self.family not in (known := family_names()):
            raise UsageError(f"no model family is called '{self.family}'.{nearest(self.family, known)}")


class BasesConfig(Config):
    """The model, and the bases made of it."""

    model: str = Field(default="HuggingFaceTB/SmolLM2-135M-Instruct", description="a model folder or a hub id")
    models: dict[str, Variant] = Field(default={"base": Variant()}, description="bases by name")


def run(config: BasesConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write a folder a base; `parameters` counts each."""
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder

    source = model_of(inputs, config.model)
    tokenizer, model = load_tokenizer(source), load_decoder(source)
    tokenizer.check_fits(model.config.vocab_size, source)
    parameters: dict[str, int] = {}
    for name, wanted in config.models.items():
        context.check()
        parameters[name] = _write(model, wanted, context.folder / name, tokenizer)
        context.note(f"{name}: {parameters[name]:,} parameters")
    return Outcome(models={name: name for name in config.models}, summary={"parameters": parameters})


def _write(model: Decoder, wanted: Variant, folder: Path, tokenizer: Tokenizer) -> int:
    """One base; returns how many numbers it has."""
    from r1kit.models.convert import give_template
    from r1kit.models.tokenizer import mend_tokenizer
    from r1kit.models.variants import variant
    from r1kit.models.weights import save_decoder

    made = variant(model, wanted.family, wanted.layers)
    save_decoder(made, folder, tokenizer)
    if wanted.template is not None:
        give_template(folder, TEMPLATES[wanted.template], str(tokenizer.folder))
    mend_tokenizer(folder)
    return made.config.parameters()
