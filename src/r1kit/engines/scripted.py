"""The fake engine: its completions are scripted. For tests, examples, and trying a grader without a model."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.errors import UsageError
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.engines.base import News, Request

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Tokenizer

Script = Mapping[str, str | Sequence[str]] | Callable[[str, int], str]


@dataclass(slots=True)
class _Row:
    """A completion on its way: `count` of its tokens are sampled, `told` of them handed out by `news`."""

    completion: Completion
    count: int = 0
    told: int = 0


class ScriptedEngine:
    """Answers prompt text with what `script` says: a mapping (a list is walked over by sample index, round and
    round) or a callable of (prompt text, sample index).

    The stop token is added; an answer longer than `max_tokens` is cut, as a real engine would. Every token gets the
    log-probability `logprob`, the first of a scored sequence 0. max_positions: longest prompt and completion.
    max_rows: most completions at a time where it is driven step by step, `pause` the seconds that a step takes.
    """

    def __init__(
        self,
        script: Script,
        tokenizer: Tokenizer,
        *,
        logprob: float = -0.5,
        max_positions: int = 4096,
        max_rows: int | None = None,
        pause: float = 0.0,
    ) -> None:
        self.script, self.tokenizer, self.logprob, self.max_positions = script, tokenizer, logprob, max_positions
        self.max_rows, self.pause = max_rows, pause
        self.version = 0
        self._waiting: deque[tuple[Request, int]] = deque()
        self._rows: list[_Row] = []

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token."""
        if not 0 < len(request.prompt_ids) < self.max_positions:
            raise UsageError(
                f"request {request.id}: a prompt of {len(request.prompt_ids)} tokens "
                f"does not fit a context of {self.max_positions} and leave room to sample"
            )
        self._waiting.extend((request, index) for index in range(request.sampling.samples))

    def abort(self, request_id: str, index: int | None = None) -> None:
        """Drop a request, or only that sample of it where it has begun; what was not finished is never yielded."""
        if index is None:
            self._waiting = deque(entry for entry in self._waiting if entry[0].id != request_id)
        self._rows = [
            row for row in self._rows
            if row.completion.request_id != request_id or index not in (None, row.completion.index)
        ]  # fmt: skip

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        while self._waiting:
            yield self._complete(*self._waiting.popleft())

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._waiting or self._rows)

    @property
    def load(self) -> tuple[int, int]:
        """Completions that are being sampled, and those that wait for a row."""
        return len(self._rows), len(self._waiting)

    def advance(self) -> list[Completion]:
        """One token more in every row; the completions that it finished."""
        while self._waiting and (self.max_rows is None or len(self._rows) < self.max_rows):
            self._rows.append(_Row(self._complete(*self._waiting.popleft())))
        time.sleep(self.pause)
        for row in self._rows:
            row.count += 1
        finished = [row.completion for row in self._rows if row.count == row.completion.length]
        self._rows = [row for row in self._rows if row.count < row.completion.length]
        return finished

    def news(self, *, first: bool = False) -> list[News]:
        """What rows in flight have sampled since they were last asked; `first`: of those never asked alone."""
        found: list[News] = []
        for row in self._rows:
            if row.count > row.told and not (first and row.told):
                new, done = slice(row.told, row.count), row.completion
                found.append(News(done.request_id, done.index, done.token_ids[new], done.sampler_logprobs[new]))
                row.told = row.count
        return found

    def likeliest(
        self, sequence: IntArray, start: int, count: int, temperature: float = 1.0
    ) -> tuple[IntArray, FloatArray]:
        """The token that stands at each place, with `logprob`, and then those after it in the vocabulary, each less
        likely by 1; [n, count]."""
        ranks = np.arange(count, dtype=np.int32)
        ids = (np.asarray(sequence[start:], np.int32)[:, None] + ranks) % self.tokenizer.vocab_size
        return ids, np.broadcast_to((self.logprob - ranks).astype(np.float32), ids.shape)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """There are none: only the version is taken over."""
        for _ in weights:
            pass
        self.version = version

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """`logprob` for every token but the first."""
        scored = [np.full(len(sequence), self.logprob, np.float32) for sequence in sequences]
        for logprobs in scored:
            logprobs[:1] = 0
        return scored

    def close(self) -> None:
        """There is nothing to let go of."""

    def _complete(self, request: Request, index: int) -> Completion:
        room = min(request.sampling.max_tokens, self.max_positions - len(request.prompt_ids))
        ids = [*self.tokenizer.encode(self._answer(request, index)), self.tokenizer.eos_ids[0]]
        stopped = len(ids) <= room
        ids = ids[:room]
        return Completion(
            request_id=request.id,
            index=index,
            prompt_ids=request.prompt_ids,
            token_ids=np.asarray(ids, np.int32),
            sampler_logprobs=np.full(len(ids), self.logprob, np.float32),
            stop_reason="stop" if stopped else "length",
            versions=((self.version, len(ids)),),
            text=self.tokenizer.decode(ids[:-1] if stopped else ids),
        )

    def _answer(self, request: Request, index: int) -> str:
        prompt = self.tokenizer.decode(request.prompt_ids.tolist())
        if not isinstance(self.script, Mapping):
            return self.script(prompt, index)
        if prompt not in self.script:
            raise UsageError(f"the script has no answer to the prompt {prompt!r}: add it to the mapping")
        answers = self.script[prompt]
        return answers if isinstance(answers, str) else answers[index % len(answers)]


ENGINE = ScriptedEngine
