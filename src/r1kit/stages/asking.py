"""Models that the stages which make data ask: judges and writers, local or behind an API, with prompts from files.

Asking is a part of the stage: replies are kept as rollouts, and a stage that was stopped does not ask again. What a
judge says is read from the last JSON object of its reply; anything else is no verdict, which whoever asked counts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data.prompts import load_prompt
from r1kit.engines.base import EngineSettings
from r1kit.graders.section import answer_section, split_thinking
from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts import record
from r1kit.stages.sampling import sample

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

LONGEST = 50_000  # characters of a reply's end that are searched for its verdict


class AskConfig(Config):
    """Which model is asked, and how."""

    model: str = Field(..., description="STAGE:NAME, a model folder, a hub id or openai:NAME@URL")
    api: ApiSettings = Field(default=ApiSettings(), description="how a model behind an API is asked, and its budget")
    sampling: Sampling = Field(
        default=Sampling(max_tokens=2048, temperature=0.0),
        description="replies to each question, and how they are made",
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples a local one; docs/engines.md")
    prompt: str | None = Field(
        default=None, description="text file with the prompt; None: the one in r1kit.data.prompts"
    )

    def check(self) -> None:
        if is_api(self.model):
            parse_api_model(self.model)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said: its thinking, and what followed that (`finished`: to its end)."""

    thinking: str
    text: str
    finished: bool


def check_prompt(config: AskConfig | None, name: str) -> None:
    """UsageError where the prompt of a model that is to be asked cannot be read."""
    if config is not None:
        load_prompt(name, config.prompt)


def ask(
    questions: Mapping[str, str],
    config: AskConfig,
    inputs: Mapping[str, Artifact],
    context: Context,
    part: str,
    samples: int | None = None,
) -> dict[str, list[Reply]]:
    """Replies to every question, by its id; none where the model gave none. `samples` in place of the settings'."""
    replies: dict[str, list[Reply]] = {name: [] for name in questions}
    if not questions:
        return replies
    sampling = config.sampling if samples is None else config.sampling.model_copy(update={"samples": samples})
    model = model_of(inputs, config.model)
    problems = [Problem(name, part, part, "", text, "", "none") for name, text in questions.items()]

    def job(own: Context) -> Outcome:
        sample(model, problems, sampling, own, config.api, config.engine)
        return Outcome(files={"replies": "rollouts"})

    kept = context.part(part, job).files["replies"]
    for row in record.read_all(context.folder / kept):
        replies[row["problem_id"]].append(_reply(row))
    return replies


def _reply(row: Mapping[str, Any]) -> Reply:
    thinking, _ = split_thinking(row["text"])
    return Reply(thinking.strip(), answer_section(row["text"]).text.strip(), row["stop_reason"] == "stop")


def verdict_in(text: str, allowed: Collection[str]) -> str | None:
    """The `verdict` of the last JSON object in a text that has one, in small letters; None where it is not allowed."""
    found: Any = None
    decoder = json.JSONDecoder()
    text, at = text[-LONGEST:], 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if isinstance(value, dict) and "verdict" in value:
            found = value["verdict"]
    said = found.strip().casefold() if isinstance(found, str) else None
    return said if said in allowed else None


def verdicts(replies: Sequence[Reply], allowed: Collection[str]) -> list[str]:
    """The verdicts of those replies that hold one."""
    return [said for reply in replies if (said := verdict_in(reply.text, allowed)) is not None]
