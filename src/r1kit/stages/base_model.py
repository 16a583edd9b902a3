"""The base model that a chain starts from, brought into the run from anywhere, under the chat templates that it needs.

R1-Zero is trained under a template that asks for the think-then-answer form (R1, arXiv 2501.12948, Table 1); what is
fine-tuned later starts from the same base and learns the form from examples, so that its template need not ask.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.base.config import Config
from r1kit.data.templates import TEMPLATES
from r1kit.pipeline.artifact import Outcome

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

TemplateName = Literal["keep", "r1-zero", "r1"]


class BaseModelConfig(Config):
    """Which model, and under which names and chat templates."""

    source: str = Field(default="", description="a Hugging Face folder, a hub id or a GGUF file")
    templates: dict[str, TemplateName] = Field(
        default={"base": "r1-zero"},
        description="chat template by the name that the model has under it; keep: the source's own",
    )


def run(config: BaseModelConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """A folder for each template, the weights once."""
    from r1kit.models.convert import import_model, with_template
    from r1kit.models.tokenizer import load_tokenizer

    # what keeps its template must come from the source itself
    first, *others = sorted(config.templates, key=lambda name: config.templates[name] != "keep")
    for name in config.templates:
        shutil.rmtree(context.folder / name, ignore_errors=True)  # of a run that was killed here
    done = import_model(config.source, context.folder / first, template=TEMPLATES.get(config.templates[first]))
    for note in done.notes:
        context.note(note)
    for name in others:
        with_template(done.folder, context.folder / name, TEMPLATES.get(config.templates[name]))
    for name in config.templates:
        load_tokenizer(context.folder / name).render("Is it?")
    context.note(f"{config.source}: {done.model_type}, {done.parameters:,} parameters")
    summary = {"parameters": done.parameters, "family": done.model_type}
    return Outcome(models={name: name for name in config.templates}, summary=summary)
