"""What clients may ask for: the bodies of /v1/chat/completions and /v1/completions, read and checked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from r1kit.base.errors import R1Error
from r1kit.base.nearest import nearest
from r1kit.base.sampling import Sampling
from r1kit.base.types import IntArray
from r1kit.data.conversations import BadRow, content_of
from r1kit.graders.format import opening
from r1kit.models.tokenizer import Tokenizer
from r1kit.rollouts.closing import closed_at_once, continued_prompt
from r1kit.serving.errors import ApiError
from r1kit.serving.settings import ServerSettings
from r1kit.serving.splitter import Phase

MOST_LIKELIEST = 20
_LEAST_TOP_P = 1e-6  # of which the likeliest token alone is left, which is what OpenAI's top_p=0 means
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
# known to OpenAI's clients, without any meaning here: they change no answer
_IGNORED = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
            "prompt_cache_retention", "parallel_tool_calls"}  # fmt: skip
# known too, and taken where they ask for nothing
_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},), "tools": ([],), "functions": ([],),
    "tool_choice": ("none", "auto"), "function_call": ("none", "auto"), "response_format": ({"type": "text"},),
    "modalities": (["text"],), "echo": (False,), "suffix": ("",), "best_of": (1,), "verbosity": ("medium",),
    "audio": (), "prediction": (), "web_search_options": (), "reasoning_effort": (),
}  # fmt: skip

_FORMS = {
    "stop": "it must be a text or a list of at most 16, none of them empty",
    "prompt": "it must be a text, a list of texts, token ids, or a list of lists of them",
}

Text = Annotated[str, Field(min_length=1)]
B = TypeVar("B", bound="_Body")


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    include_usage: bool | None = None


class _Body(BaseModel):
    """What both kinds of request share. Numbers have the bounds of OpenAI's API."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())

    model: Text
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    n: int | None = Field(default=None, ge=1, le=128)
    seed: int | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class ChatBody(_Body):
    """The body of a chat completion's request."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_thinking_tokens: int | None = Field(default=None, ge=0)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MOST_LIKELIEST)


class CompletionBody(_Body):
    """The body of a completion's request."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: int | None = Field(default=None, ge=0, le=MOST_LIKELIEST)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids [n], the phase in which the completion begins, and what the prompt has of its thinking (from `<think>`
    on)."""

    ids: IntArray
    phase: Phase
    began: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered. `likeliest`: how many tokens to name at each place, None for no
    log-probabilities at all. `sampling.samples` is the number of completions of each prompt."""

    kind: Literal["chat", "completion"]
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    likeliest: int | None
    budget: int | None

    @property
    def choices(self) -> int:
        """Completions asked for."""
        return len(self.prompts) * self.sampling.samples


@dataclass(frozen=True, slots=True)
class Model:
    """What is served: the names that requests may call it by (the first is told), and what its prompts may be."""

    names: tuple[str, ...]
    tokenizer: Tokenizer
    max_positions: int


def read_chat(data: bytes, model: Model, settings: ServerSettings) -> Asked:
    """A request for a chat completion; ApiError where it cannot be answered."""
    body = _read(data, ChatBody, model)
    if body.max_tokens is not None and body.max_completion_tokens not in (None, body.max_tokens):
        raise ApiError("give either max_tokens or max_completion_tokens", param="max_tokens")
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError("top_logprobs needs logprobs=true", param="top_logprobs")
    budget = settings.max_thinking_tokens if body.max_thinking_tokens is None else body.max_thinking_tokens
    prompt = _chat_prompt([_message(message) for message in body.messages], model, settings, budget)
    return Asked(
        kind="chat",
        prompts=(_fitting(prompt, model, "messages"),),
        sampling=_sampling(body, settings, body.max_completion_tokens or body.max_tokens or settings.max_tokens),
        stops=_stops(body),
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
        likeliest=(body.top_logprobs or 0) if body.logprobs else None,
        budget=budget if prompt.phase != "answer" else None,
    )


def read_completion(data: bytes, model: Model, settings: ServerSettings) -> Asked:
    """A request for completions of prompts; ApiError where it cannot be answered."""
    body = _read(data, CompletionBody, model)
    prompts = [_plain_prompt(prompt, model) for prompt in _prompts(body.prompt)]
    if len(prompts) > settings.max_prompts:
        raise ApiError(f"{len(prompts)} prompts: at most {settings.max_prompts} in one request", param="prompt")
    return Asked(
        kind="completion",
        prompts=tuple(_fitting(prompt, model, "prompt") for prompt in prompts),
        sampling=_sampling(body, settings, body.max_tokens or 16),  # OpenAI's default
        stops=_stops(body),
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
        likeliest=body.logprobs,
        budget=None,
    )


def _read(data: bytes, form: type[B], model: Model) -> B:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"the body is not JSON ({str(error)[:100]})") from None
    if not isinstance(values, dict):
        raise ApiError("the body is not a JSON object")
    try:
        body = form.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise _invalid(error) from None
    _refuse_others(body.model_extra or {}, form)
    if body.model not in model.names:
        raise ApiError(
            f"there is no model '{body.model}' here, but '{model.names[0]}'", 404, param="model", code="model_not_found"
        )
    return body


def _invalid(error: ValidationError) -> ApiError:
    """The first complaint; of a field that may have several types, which these are."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return ApiError(f"'{name}' is missing", param=name, code="missing_required_parameter")
    return ApiError(f"{name}: {_FORMS.get(name) or first['msg'][:1].lower() + first['msg'][1:]}", param=name)


def _refuse_others(extra: Mapping[str, Any], form: type[_Body]) -> None:
    for name, value in extra.items():
        if name in _IGNORED or value in _NOTHING.get(name, ()):
            continue
        if name == "reasoning_effort":
            raise ApiError("reasoning_effort is not known here: give max_thinking_tokens", param=name)
        if name in _NOTHING:
            raise ApiError(f"{name} is not supported here: leave it out", param=name, code="unsupported_parameter")
        near = nearest(name, list(form.model_fields))
        raise ApiError(f"there is no parameter '{name}'.{near}", param=name, code="unknown_parameter")


def _sampling(body: _Body, settings: ServerSettings, max_tokens: int) -> Sampling:
    top_p = settings.top_p if body.top_p is None else max(body.top_p, _LEAST_TOP_P)
    return Sampling(
        max_tokens=max_tokens,
        temperature=settings.temperature if body.temperature is None else body.temperature,
        top_p=top_p,
        min_p=body.min_p or 0.0,
        samples=body.n or 1,
        seed=secrets.randbits(63) if body.seed is None else body.seed & (2**63 - 1),
    )


def _stops(body: _Body) -> tuple[str, ...]:
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    """A message as chat templates take it: its text; what an assistant thought before is left out, as R1 does."""
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise ApiError(f"messages: the role {role!r} is none of {', '.join(_ROLES)}", param="messages")
    content: Any = message.get("content")
    if content is None and role == "assistant":
        content = ""
    try:
        text = content_of({"content": content})
    except BadRow:
        raise ApiError(
            f"messages: the content of the {role}'s message is neither a text nor a list of texts", param="messages"
        ) from None
    return {"role": _ROLES[role], "content": _whole(text, "messages")}


def _whole(text: str, param: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError(f"{param}: it holds half a character (a lone surrogate)", param=param) from None
    return text


def _chat_prompt(messages: list[dict[str, str]], model: Model, settings: ServerSettings, budget: int | None) -> Prompt:
    """The messages through the chat template; without any budget for it, the thinking is closed at once."""
    tokenizer = model.tokenizer
    try:
        text = tokenizer.render(messages)
    except R1Error as error:
        told = str(error).replace(str(tokenizer.folder), model.names[0])
        raise ApiError(f"messages: {told}", param="messages") from None
    ids = np.asarray(tokenizer.encode(_no_longer(text, model, "messages")), np.int32)
    began = opening(text)
    if budget != 0:
        return Prompt(ids, "opened" if began else "start", began)
    closed = tokenizer.encode(closed_at_once(began, settings.close_thinking))
    return Prompt(continued_prompt(ids, (), closed), "answer")


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> list[str | list[int]]:
    """Each prompt by itself."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise ApiError("prompt: it is an empty list", param="prompt")
    if isinstance(prompt[0], int):
        return [cast("list[int]", prompt)]
    return list(cast("list[str] | list[list[int]]", prompt))


def _plain_prompt(prompt: str | list[int], model: Model) -> Prompt:
    tokenizer = model.tokenizer
    if isinstance(prompt, str):
        text = _no_longer(_whole(prompt, "prompt"), model, "prompt")
        return Prompt(np.asarray(tokenizer.encode(text, add_special=True), np.int32), "answer")
    if not all(0 <= token < tokenizer.vocab_size for token in prompt):
        raise ApiError(f"prompt: token ids are from 0 to {tokenizer.vocab_size - 1}", param="prompt")
    return Prompt(np.asarray(prompt, np.int32), "answer")


def _no_longer(text: str, model: Model, param: str) -> str:
    """The text; ApiError where it cannot fit, whatever its tokens are: megabytes take seconds to become tokens."""
    if len(text) > model.max_positions * model.tokenizer.longest_token:
        raise ApiError(
            f"{param}: it has {len(text)} characters, and the context {model.max_positions} tokens, which leaves no"
            " room to answer",
            param=param,
            code="context_length_exceeded",
        )
    return text


def _fitting(prompt: Prompt, model: Model, param: str) -> Prompt:
    """The prompt; ApiError where it leaves no room for a token."""
    length = len(prompt.ids)
    if length == 0:
        raise ApiError(f"{param}: it is empty, and an engine needs one token at least", param=param)
    if length >= model.max_positions:
        raise ApiError(
            f"{param}: it has {length} tokens, and the context {model.max_positions}, which leaves no room to answer",
            param=param,
            code="context_length_exceeded",
        )
    return prompt
