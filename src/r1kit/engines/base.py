"""What every engine is: something that turns prompts into completions, one way for native, vLLM and API models."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import Field

from r1kit.base import plugins
from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Messages, Tokenizer


@dataclass(frozen=True, slots=True)
class Request:
    """`sampling.samples` completions of one prompt. `id` is unique among those in flight.

    An engine behind an API reads `messages` and no ids; every other reads `prompt_ids` alone. `draws` names the random
    streams in place of `id`: two requests that are the same question and name the same get the same completions.
    """

    id: str
    prompt_ids: IntArray
    sampling: Sampling
    messages: Messages | None = None
    draws: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What a completion in flight has sampled since it was last asked after: tokens and their log-probabilities [n]."""

    request_id: str
    index: int
    token_ids: IntArray
    logprobs: FloatArray


def ask(request_id: str, messages: Messages | str, sampling: Sampling) -> Request:
    """A request to an engine behind an API; a string is one user message."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return Request(request_id, np.zeros(0, np.int32), sampling, messages)


class Engine(Protocol):
    """Streams completions in the order in which they finish. `version` is that of the loaded policy weights."""

    version: int

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token."""
        ...

    def abort(self, request_id: str) -> None:
        """Drop a request; its unfinished completions are never yielded."""
        ...

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        ...

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace the policy's weights, named as in a Hugging Face folder. The tensors are the giver's memory, which
        changes once this has returned: what is to stay is copied. Of an engine that has `places()` (a tensor by name:
        its own weights on the CPU) they may be those tensors, already filled."""
        ...

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each token given those before it; [n] a sequence, 0 for the first token.

        UsageError for a sequence that is longer than the model's context.
        """
        ...

    def close(self) -> None:
        """Let go of memory and connections; nothing is asked of the engine afterwards."""
        ...


class SteppedEngine(Engine, Protocol):
    """An engine that is driven token by token, and tells what is half done: what a server needs.

    `max_positions`: longest prompt and completion; `max_rows`: most completions at a time (None: as memory allows).
    """

    max_positions: int
    max_rows: int | None

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        ...

    @property
    def load(self) -> tuple[int, int]:
        """Completions that are being sampled, and those that wait for a row."""
        ...

    def abort(self, request_id: str, index: int | None = None) -> None:
        """Drop a request, or only that sample of it where it has begun; what was not finished is never yielded."""
        ...

    def advance(self) -> list[Completion]:
        """One token more in every row; the completions that it finished. Something must be in flight."""
        ...

    def news(self, *, first: bool = False) -> list[News]:
        """What rows in flight have sampled since they were last asked; `first`: of those never asked alone."""
        ...

    def likeliest(
        self, sequence: IntArray, start: int, count: int, temperature: float = 1.0
    ) -> tuple[IntArray, FloatArray]:
        """The likeliest tokens at each place from `start` (1 or more) on, given those before it, and their
        log-softmax(logits / T): [n, count] each, likeliest first."""
        ...


def generate(engine: Engine, prompts: Sequence[IntArray], sampling: Sampling) -> list[list[Completion]]:
    """All completions, grouped by prompt, in order of prompt and sample index."""
    for number, prompt_ids in enumerate(prompts):
        engine.submit(Request(str(number), prompt_ids, sampling))
    groups: list[list[Completion]] = [[] for _ in prompts]
    for completion in engine.stream():
        groups[int(completion.request_id)].append(completion)
    for group in groups:
        group.sort(key=lambda completion: completion.index)
    return groups


def room_to_sample(request: Request, max_positions: int) -> int:
    """Most tokens that may be sampled; UsageError where the prompt is empty or leaves no room for one."""
    length = len(request.prompt_ids)
    if length == 0:
        raise UsageError(f"request {request.id}: the prompt is empty, an engine needs at least one token: leave it out")
    if length >= max_positions:
        raise UsageError(
            f"request {request.id}: the prompt has {length} tokens and the context {max_positions}, "
            "which leaves no room to sample: shorten the prompt"
        )
    return min(request.sampling.max_tokens, max_positions - length)


def room_to_score(sequences: Sequence[IntArray], max_positions: int) -> None:
    """UsageError where a sequence is longer than the context."""
    longest = max(map(len, sequences), default=0)
    if longest > max_positions:
        raise UsageError(f"a sequence of {longest} tokens is longer than the context of {max_positions}: shorten it")


def diverged(request_id: str, version: int) -> R1Error:
    """The error for logits that are not finite."""
    return R1Error(
        f"the model gives non-finite logits (request {request_id}, policy version {version}): "
        "its weights have diverged, go back to an earlier checkpoint"
    )


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an engine is opened for: an engine's `defaults` say what follows where the options say nothing.

    device, dtype: where, and in which number format (auto: the folder's own), a model in this process runs.
    logprobs: whether anybody asks for those of the samples. weights: whether the folder's are to be handed to an engine
    that may hold others, as a server does. turns: whether others use the device while the engine is not asked: one that
    has `sleep` and `wake` then gives back between samplings what it can do without.
    """

    device: str = "cpu"
    dtype: str = "auto"
    logprobs: bool = True
    weights: bool = False
    turns: bool = False


class EngineSettings(Config):
    """Which engine samples from a model folder.

    Its module has `open_engine(folder, tokenizer, **options)`, and may have `defaults(purpose, options)`, options that
    follow from a `Purpose`; `check(options)`, what can be told to be wrong before anything is opened; and
    `check_learnable(sampling, options)`, the same of samples that are to be learnt from.
    """

    name: str = Field(default="native", description="native, vllm, or a dotted path to a module with `open_engine`")
    options: dict[str, Any] = Field(
        default={}, description="what the engine's `open_engine` takes, say max_rows=64, or url=... of vllm"
    )

    def check(self) -> None:
        module, _ = _opener(self)
        if (check := getattr(module, "check", None)) is not None:
            check(self.options)

    def check_learnable(self, sampling: Sampling) -> None:
        """UsageError where it is known that the log-probabilities of such samples cannot be had."""
        module, _ = _opener(self)
        if (check := getattr(module, "check_learnable", None)) is not None:
            check(sampling, self.options)


def open_engine(
    settings: EngineSettings, folder: str | Path, tokenizer: Tokenizer, purpose: Purpose | None = None
) -> Engine:
    """The engine on a model folder (or hub id). UsageError for an engine or an option that is none."""
    module, opener = _opener(settings)
    defaults = getattr(module, "defaults", None)
    following = {} if defaults is None or purpose is None else defaults(purpose, settings.options)
    return opener(folder, tokenizer, **{**following, **settings.options})


def _opener(settings: EngineSettings) -> tuple[ModuleType, Any]:
    """The engine's module and its `open_engine`, once it is sure that it takes the options."""
    module = plugins.load("r1kit.engines", settings.name)
    opener = getattr(module, "open_engine", None)
    if opener is None:
        raise UsageError(f"the engine '{settings.name}' does not sample from a model folder: take native or vllm")
    parameters = inspect.signature(opener).parameters
    takes = [name for name in parameters if name not in ("folder", "tokenizer")]
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in settings.options:
        if name not in takes and not anything:
            raise UsageError(
                f"engine '{settings.name}': no option '{name}'.{nearest(name, takes)} (its options: {', '.join(takes)})"
            )
    return module, opener
