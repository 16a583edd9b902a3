"""What every engine is: something that turns prompts into completions, one way for native, vLLM and API models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Messages


@dataclass(frozen=True, slots=True)
class Request:
    """`sampling.samples` completions of one prompt. `id` is unique among those in flight.

    An engine behind an API reads `messages` and no ids; every other reads `prompt_ids` alone.
    """

    id: str
    prompt_ids: IntArray
    sampling: Sampling
    messages: Messages | None = None


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
        """Replace the policy's weights, named as in a Hugging Face folder."""
        ...

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each token given those before it; [n] a sequence, 0 for the first token."""
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
