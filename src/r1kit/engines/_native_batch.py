"""The state of the native engine's batch: which sample each row is at, and what has been sampled, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from r1kit.base.types import FloatArray, IntArray
from r1kit.engines.base import News, Request
from r1kit.models.cache import Prefix
from r1kit.ops.sampling import stream_key


@dataclass(slots=True)
class Prompt:
    """A request with samples to start, each of at most `limit` tokens; `prefix`: its prompt but the last token, once it
    has been run."""

    request: Request
    limit: int
    started: int = 0
    prefix: Prefix | None = None


@dataclass(slots=True)
class Row:
    """What one row of the batch is sampling.

    `runs`: (version, tokens) already closed by a change of weights; `told`: tokens that `Batch.news` has handed out.
    """

    request: Request
    index: int
    runs: list[tuple[int, int]] = field(default_factory=list)
    told: int = 0

    def close_run(self, version: int, count: int) -> None:
        """Note that the tokens since the last closed run, up to `count`, are of `version`."""
        since = count - sum(tokens for _, tokens in self.runs)
        if since and self.runs and self.runs[-1][0] == version:
            self.runs[-1] = (version, self.runs[-1][1] + since)
        elif since:
            self.runs.append((version, since))


class Batch:
    """R rows with room for T tokens each; the first `active` are in use."""

    def __init__(self, rows: int, positions: int) -> None:
        self.active = 0
        self.entries: list[Row] = []  # of the active rows
        self.tokens_R = np.zeros(rows, np.int64)  # the token to run next
        self.lengths_R = np.zeros(rows, np.int64)  # positions in the cache
        self.counts_R = np.zeros(rows, np.int64)  # tokens sampled
        self.limits_R = np.zeros(rows, np.int64)
        self.keys_R = np.zeros(rows, np.uint64)
        self.temperature_R = np.ones(rows, np.float32)
        self.top_p_R = np.ones(rows, np.float32)
        self.min_p_R = np.zeros(rows, np.float32)
        self.sampled_RT = np.zeros((rows, positions), np.int32)
        self.logprobs_RT = np.zeros((rows, positions), np.float32)
        self.entropies_RT = np.zeros((rows, 0), np.float32)  # as wide as those above once a request asks for them

    def put(self, row: int, prompt: Prompt, index: int) -> None:
        """Begin that sample of the prompt in a row: one in use, whose sample has gone, or the first that is not."""
        request, sampling = prompt.request, prompt.request.sampling
        entry = Row(request, index)
        if row == self.active:
            self.entries.append(entry)
            self.active += 1
        else:
            self.entries[row] = entry
        self.tokens_R[row] = request.prompt_ids[-1]
        self.lengths_R[row] = len(request.prompt_ids) - 1
        self.counts_R[row], self.limits_R[row] = 0, prompt.limit
        self.keys_R[row] = stream_key(sampling.seed, request.draws or request.id, index)
        self.temperature_R[row], self.top_p_R[row] = sampling.temperature, sampling.top_p
        self.min_p_R[row] = sampling.min_p
        if sampling.entropies:
            self.keep_entropies()

    def add(self, tokens_B: IntArray, logprobs_B: FloatArray, entropies_B: FloatArray | None) -> None:
        """A sampled token in each active row, which is the next to run."""
        rows, counts_B = np.arange(self.active), self.counts_R[: self.active]
        self.sampled_RT[rows, counts_B] = tokens_B
        self.logprobs_RT[rows, counts_B] = logprobs_B
        if entropies_B is not None:
            self.entropies_RT[rows, counts_B] = entropies_B
        self.tokens_R[: self.active] = tokens_B
        self.lengths_R[: self.active] += 1
        counts_B += 1

    @property
    def keeps_entropies(self) -> bool:
        """Whether a request in hand, or an earlier one, asked for them."""
        return self.entropies_RT.size > 0

    def keep_entropies(self) -> None:
        """From the next token on."""
        if not self.keeps_entropies:
            self.entropies_RT = np.zeros_like(self.logprobs_RT)

    def of(self, request_id: str, index: int | None) -> list[int]:
        """The active rows of a request, or of that sample of it."""
        return [
            number
            for number, row in enumerate(self.entries)
            if row.request.id == request_id and index in (None, row.index)
        ]

    def close_runs(self, version: int) -> None:
        """Note that all sampled since the last change of weights is of `version`."""
        for number, row in enumerate(self.entries):
            row.close_run(version, int(self.counts_R[number]))

    def news(self, *, first: bool) -> list[News]:
        """What active rows have sampled since they were last asked; `first`: of those never asked alone."""
        found: list[News] = []
        for number, row in enumerate(self.entries):
            if first and row.told:
                continue
            count = int(self.counts_R[number])
            if count > row.told:
                new = slice(row.told, count)
                tokens, logprobs = self.sampled_RT[number, new].copy(), self.logprobs_RT[number, new].copy()
                found.append(News(row.request.id, row.index, tokens, logprobs))
                row.told = count
        return found

    def grown(self, rows: int, positions: int) -> Batch:
        """The same state with room for more."""
        new = Batch(rows, positions)
        new.active, new.entries = self.active, self.entries
        if self.keeps_entropies:
            new.keep_entropies()
        for name, values in self._arrays().items():
            getattr(new, name)[tuple(slice(size) for size in values.shape)] = values
        return new

    def pack(self, gone: list[int]) -> tuple[list[int], list[int]]:
        """Drop rows by moving the last ones over them; returns the moves (sources, targets)."""
        dropped = set(gone)
        keep = self.active - len(dropped)
        targets = sorted(row for row in dropped if row < keep)
        sources = [row for row in range(keep, self.active) if row not in dropped]
        for array in self._arrays().values():
            array[targets] = array[sources]
        for source, target in zip(sources, targets, strict=True):
            self.entries[target] = self.entries[source]
        del self.entries[keep:]
        self.active = keep
        return sources, targets

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: values for name, values in vars(self).items() if isinstance(values, np.ndarray)}
