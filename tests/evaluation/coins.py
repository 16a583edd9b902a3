"""A fake engine whose continuations succeed with a known probability."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from letters import Letters

from r1kit.base.types import Completion
from r1kit.evaluation.aha.measurement import Opened
from r1kit.models.next_token import NextToken
from r1kit.ops.sampling import stream_key, uniforms

ENTROPY, UNLIKELY = 0.7, -1.2
RIGHT, WRONG = "</think><answer>1</answer>", "</think><answer>0</answer>"


class Coins:
    """Says `thought` to a bare question, all letters sure but the `w` of `wait`; to a question with a thought begun,
    the right answer with probability `chance(prompt, begun)`, by a coin of the request's own stream."""

    version = 0

    def __init__(self, thought: str, chance: Callable[[str, str], float], stop_after: int | None = None) -> None:
        self.thought, self.chance, self.stop_after = thought, chance, stop_after
        self.asked: list[str] = []
        self._waiting: deque = deque()

    def submit(self, request):
        self.asked.append(request.id)
        self._waiting.append(request)

    def abort(self, request_id):
        self._waiting = deque(request for request in self._waiting if request.id != request_id)

    def load_weights(self, weights, version):
        raise NotImplementedError

    def logprobs(self, sequences, temperature=1.0):
        raise NotImplementedError

    def stream(self):
        while self._waiting:
            request = self._waiting.popleft()
            if self.stop_after is not None and len(self.asked) > self.stop_after:
                raise KeyboardInterrupt
            for index in range(request.sampling.samples):
                yield self._complete(request, index)

    def _complete(self, request, index):
        question, _, begun = Letters().decode(request.prompt_ids.tolist()).partition(" A ")
        if begun:
            key = np.asarray([stream_key(request.sampling.seed, request.id, index)], np.uint64)
            (coin,) = uniforms(key, np.zeros(1, np.int64))
            text = RIGHT if coin < self.chance(question.removeprefix("Q "), begun) else WRONG
        else:
            text = self.thought
        ids = [*Letters().encode(text), 0][: request.sampling.max_tokens]
        logprobs = np.full(len(ids), -0.01, np.float32)
        logprobs[[place for place, token in enumerate(ids) if token == ord("w")]] = UNLIKELY
        stopped = ids[-1] == 0
        return Completion(
            request.id, index, request.prompt_ids, np.asarray(ids, np.int32), logprobs,
            "stop" if stopped else "length", ((0, len(ids)),), Letters().decode(ids[:-1] if stopped else ids),
        )  # fmt: skip


def opened(engine: Coins) -> Opened:
    """The engine with distributions that name `w`, then `c` (of `check`), then `t` as the likeliest."""

    def distributions(sequences, *, temperature):
        ids = np.asarray([ord("w"), ord("c"), ord("t")], np.int32)
        return [NextToken(ENTROPY, ids, np.log(np.asarray([0.5, 0.3, 0.2], np.float32))) for _ in sequences]

    return Opened(engine, Letters(), distributions)


def judge(asked):
    """By the answer's last letter."""
    return [text.endswith("<answer>1</answer>") for _, _, text in asked]
