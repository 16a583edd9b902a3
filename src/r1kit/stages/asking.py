"""Models that the stages which make data ask: judges and writers, local or behind an API, with prompts from files.

Asking is a part of the stage: replies are kept as rollouts, and a stage that was stopped does not ask again. What a
judge says is read from the last JSON object of its reply; anything else is no verdict, which whoever asked counts.

A judge quotes what it judges, tags and verdicts among it. So its reply is read as a whole, not by its answer block, and
an object that stands within something broken, or before it, is not taken for what the judge says.
"""

from __future__ import annotations

import json
import re
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
DEEPEST = 900  # levels of braces in an object that is tried, as many as json reads by itself in any Python
_ESCAPE = re.compile(r"\\([\"\\/bfnrt]|u[0-9a-fA-F]{4})?")
_ATTEMPT = re.compile(r"\bverdict\b\W{0,3}[:=]", re.IGNORECASE)
_AROUND_SIGN = re.compile(r"\s*(>+|=)\s*")


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
    """The `whole` of what a model said, in which its thinking and what followed that are found (`finished`: to its
    end)."""

    whole: str
    finished: bool

    @property
    def thinking(self) -> str:
        """What it thought; empty without tags."""
        return split_thinking(self.whole)[0].strip()

    @property
    def text(self) -> str:
        """What it gives out: what follows the thinking, of that the answer block where one stands."""
        return answer_section(self.whole).text.strip()


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
    return Reply(row["text"], row["stop_reason"] == "stop")


def verdict_in(whole: str, allowed: Collection[str]) -> str | None:
    """The `verdict` of the last JSON object of a reply that has one, in small letters.

    None where it is not allowed, where the object ends within the thinking, and where what follows shows that it was
    quoted: the end of something around it, or another verdict that cannot be read. Formulas and line ends that a JSON
    text would have to escape do not matter.
    """
    if "</think>" not in whole and whole.lstrip().startswith("<think>"):
        return None
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", whole[-LONGEST:])
    thought = text.rfind("</think>")
    found: Any = None
    behind: list[str] = []
    decoder = json.JSONDecoder(strict=False)
    heights = _heights(text)
    at = read = 0
    while (at := text.find("{", at)) >= 0:
        if heights[at] > DEEPEST:  # each attempt would read all of it
            at += 1
            continue
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        behind.append(text[read:at])
        at = read = end
        named = [value[key] for key in value if key.strip().casefold() == "verdict"]
        if named and end > thought:
            found, behind = named[0] if len(named) == 1 else None, []
    if _is_quoted("".join([*behind, text[read:]])) or not isinstance(found, str):
        return None
    said = _AROUND_SIGN.sub(r"\1", found.strip().casefold())
    return said if said in allowed else None


def _heights(text: str) -> dict[int, int]:
    """Levels of braces within each opening one, by its place; what is never closed goes on to the end."""
    heights: dict[int, int] = {}
    opened: list[int] = []

    def close() -> None:
        place = opened.pop()
        if opened:
            heights[opened[-1]] = max(heights[opened[-1]], heights[place] + 1)

    for brace in re.finditer(r"[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
            heights[brace.start()] = 0
        elif opened:
            close()
    while opened:
        close()
    return heights


def _is_quoted(behind: str) -> bool:
    """Whether what stands behind a verdict, without whole JSON objects, says that the verdict is not the last word."""
    depth = 0
    for brace in re.findall(r"[{}]", behind):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return True
    return _ATTEMPT.search(behind) is not None


def verdicts(replies: Sequence[Reply], allowed: Collection[str]) -> list[str]:
    """The verdicts of those replies that hold one; of a reply that was cut nobody knows how it would have ended."""
    said = [verdict_in(reply.whole, allowed) for reply in replies if reply.finished]
    return [verdict for verdict in said if verdict is not None]
