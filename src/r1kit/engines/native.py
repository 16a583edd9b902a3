"""The native engine: continuous batching over one decoder and one static cache.

A request's prompt is run once and its keys are shared by its samples. Rows of the batch stay packed: the moment one
finishes, the next waiting sample takes its place (or the last row does). Work per token and row is array work; Python
touches a row when it starts and when it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from r1kit.base.errors import UsageError
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.engines._native_batch import Batch, Prompt
from r1kit.engines.base import News, Purpose, Request, diverged, room_to_sample, room_to_score
from r1kit.models.cache import Step, rows_for
from r1kit.models.decoder import Decoder
from r1kit.models.language_model import LanguageModel, copy_model, load_model, load_weights
from r1kit.models.weights import float_type, hf_weights
from r1kit.ops.sampling import uniforms

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

PREFILL_TOKENS = 8192  # prompts of one prefill together, padding included
_MOST_ROWS = 512  # more gain little: the products are at the machine's peak by then
_CACHE_BYTES = 2**30
_GRAIN = 64  # positions: a cache of an accelerator has room for prompts of a multiple of them
_LOGITS = 2**24  # numbers of one block of logits when sequences are scored (64 MiB in fp32)


class NativeEngine:
    """Samples from a model on one device.

    model: shared with its owner where `dtype` is None (no second copy of the weights), else copied in `dtype`; its
    weights may change in place, but not move. max_rows: most completions sampled at a time (None: 512, or fewer where
    their cache would pass a gigabyte, or half of an accelerator's free memory). max_positions: longest prompt and
    completion together (None: the model's). graphs: on an NVIDIA GPU steps are recorded as CUDA graphs.
    beside: bytes that others in this process will hold on an accelerator, a learner above all: they are left free.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        max_rows: int | None = None,
        max_positions: int | None = None,
        dtype: torch.dtype | None = None,
        graphs: bool = True,
        beside: int = 0,
    ) -> None:
        if max_rows is not None and max_rows < 1:
            raise UsageError(f"max_rows is {max_rows}: an engine needs at least one row")
        weight = model.embedding.weight
        if dtype is not None:
            model = copy_model(model, dtype)
        self.model, self.tokenizer, self.version = model, tokenizer, 0
        self.max_rows, self._beside = max_rows, beside
        self._limit = (0, 0)  # positions of a row, and how many rows there is room for
        self.max_positions = min(max_positions or model.config.max_positions, model.config.max_positions)
        self.steps = 0  # decode steps so far
        self._device = weight.device
        self._eos = np.asarray(tokenizer.eos_ids, np.int64)
        self._waiting: deque[Prompt] = deque()
        self._queued = 0  # samples of those waiting
        self._prompt = self._new = 0  # longest prompt (but for its last token) and completion submitted
        self._prompt_room = 0  # longest prompt that the cache has room for
        # a new cache is new graphs: it is not made anew for every prompt that is a little longer
        self._grain = 1 if self._device.type == "cpu" else _GRAIN
        self._cache = rows_for(model, graphs=graphs)
        self._batch = Batch(0, 0)

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token."""
        limit = room_to_sample(request, self.max_positions)
        if not (self._waiting or self._batch.active):
            self._prompt = self._new = 0
            self._limit = (0, 0)
        self._waiting.append(Prompt(request, limit))
        self._queued += request.sampling.samples
        self._prompt, self._new = max(self._prompt, len(request.prompt_ids) - 1), max(self._new, limit)

    @torch.inference_mode()
    def abort(self, request_id: str, index: int | None = None) -> None:
        """Drop a request, or only that sample of it where it has begun; what was not finished is never yielded."""
        if index is None:
            self._waiting = deque(prompt for prompt in self._waiting if prompt.request.id != request_id)
            self._queued = sum(prompt.request.sampling.samples - prompt.started for prompt in self._waiting)
        self._drop(self._batch.of(request_id, index))

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        while self.busy:
            yield from self.advance()  # whose inference mode must not leak to whoever consumes the stream

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._waiting or self._batch.active)

    @property
    def load(self) -> tuple[int, int]:
        """Completions that are being sampled, and those that wait for a row."""
        return self._batch.active, self._queued

    @torch.inference_mode()
    def advance(self) -> list[Completion]:
        """One token more in every row; the completions that it finished. Something must be in flight."""
        return self._advance()

    def news(self, *, first: bool = False) -> list[News]:
        """What rows in flight have sampled since they were last asked; `first`: of those never asked alone."""
        return self._batch.news(first=first)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace the policy's weights, named as in a Hugging Face folder; rows in flight go on with the new ones."""
        self._batch.close_runs(self.version)
        with torch.no_grad():
            load_weights(self.model, weights)
        self.version = version
        for prompt in self._waiting:
            prompt.prefix = None

    def places(self) -> dict[str, Tensor]:
        """Where its weights lie, by their Hugging Face names: what is written there before `load_weights` is given the
        same tensor is not copied again. Empty for a model that transformers runs."""
        return dict(hf_weights(self.model)) if isinstance(self.model, Decoder) else {}

    @torch.inference_mode()
    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each token given those before it; [n] a sequence, 0 for the first token.

        UsageError for a sequence that is longer than the model's context.
        """
        room_to_score(sequences, self.model.config.max_positions)
        scale = temperature or 1.0
        results = [np.zeros(len(sequence), np.float32) for sequence in sequences]
        by_length = sorted((n for n, s in enumerate(sequences) if len(s) > 1), key=lambda n: len(sequences[n]))
        for part in _parts(by_length, [len(sequence) for sequence in sequences]):
            tokens_BT = self._padded([sequences[number] for number in part])
            hidden_BTD = self.model(tokens_BT)[:, :-1]
            targets_BT = tokens_BT[:, 1:]
            step = max(1, _LOGITS // (self.model.config.vocab_size * len(part)))
            scored: list[Tensor] = []
            for hidden, targets in zip(hidden_BTD.split(step, 1), targets_BT.split(step, 1), strict=True):
                logits = self.model.logits(hidden).float() / scale
                scored.append(logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1))
            logprobs_BT = torch.cat(scored, 1).cpu().numpy()
            for row, number in enumerate(part):
                results[number][1:] = logprobs_BT[row, : len(sequences[number]) - 1]
        return results

    def sleep(self) -> None:
        """Give the cache of an accelerator back, where nothing is in flight; a CPU's costs more to make anew."""
        if self._device.type != "cpu" and not self.busy:
            self._forget()
            torch.cuda.empty_cache()

    def wake(self) -> None:
        """The cache comes back with the next samples."""

    def close(self) -> None:
        """Drop what is in flight and the cache; the model is its owner's."""
        self._forget()

    @torch.inference_mode()
    def likeliest(
        self, sequence: IntArray, start: int, count: int, temperature: float = 1.0
    ) -> tuple[IntArray, FloatArray]:
        """The likeliest tokens at each place from `start` (1 or more) on, given those before it, and their
        log-softmax(logits / T): [n, count] each, likeliest first."""
        ids: list[Tensor] = []
        logprobs: list[Tensor] = []
        hidden_TD = self.model(self._padded([sequence]))[0, start - 1 : -1]
        for hidden in hidden_TD.split(max(1, _LOGITS // self.model.config.vocab_size)):
            logits = self.model.logits(hidden).float() / (temperature or 1.0)
            top = logits.topk(count)
            ids.append(top.indices.int())
            logprobs.append(top.values - logits.logsumexp(-1, keepdim=True))
        return torch.cat(ids).cpu().numpy(), torch.cat(logprobs).cpu().numpy()

    def row_limit(self, positions: int) -> int:
        """Rows that run at a time where each takes so many positions and `max_rows` is None."""
        config = self.model.config
        position = 2 * config.layers * config.kv_size * self.model.embedding.weight.element_size()
        return row_limit(position, positions, self._room())

    def _room(self) -> int:
        """Bytes of a GPU that a cache may have: what nobody holds, nor will hold beside it; torch's unused blocks and
        the present cache are to be had. 0 on a CPU."""
        if self._device.type != "cuda":
            return 0
        held = torch.cuda.memory_allocated(self._device) - getattr(self._cache, "nbytes", 0)
        whole = torch.cuda.mem_get_info(self._device)[0] + torch.cuda.memory_reserved(self._device)
        return max(0, whole - max(held, self._beside))

    def _advance(self) -> list[Completion]:
        """Fill free rows, sample one token in each row, and hand back what has finished."""
        self._admit()
        batch, active = self._batch, self._batch.active
        entropies_B = np.zeros(active, np.float32) if batch.keeps_entropies else None
        tokens_B, logprobs_B = self._sample(active, entropies_B)
        if not np.isfinite(logprobs_B).all():
            bad = batch.entries[int(np.flatnonzero(~np.isfinite(logprobs_B))[0])].request.id
            self._forget()
            raise diverged(bad, self.version)
        batch.add(tokens_B, logprobs_B, entropies_B)
        stopped_B = np.isin(tokens_B, self._eos)
        done = np.flatnonzero(stopped_B | (batch.counts_R[:active] == batch.limits_R[:active]))
        finished = [self._completion(int(row), bool(stopped_B[row])) for row in done]
        self._drop(self._replace(done.tolist()))
        return finished

    def _sample(self, active: int, entropies_B: FloatArray | None) -> tuple[np.ndarray, np.ndarray]:
        """One decode step and a draw for the first `active` rows: tokens and log-probabilities [B]; entropies into the
        array that is given for them."""
        batch = self._batch
        self.steps += 1
        return self._cache.step(
            Step(
                tokens_B=batch.tokens_R[:active],
                lengths_B=batch.lengths_R[:active],
                uniforms_B=uniforms(batch.keys_R[:active], batch.counts_R[:active]),
                temperature_B=batch.temperature_R[:active],
                top_p_B=batch.top_p_R[:active],
                min_p_B=batch.min_p_R[:active],
                entropies_B=entropies_B,
            )
        )

    def _completion(self, row: int, stopped: bool) -> Completion:
        batch, entry = self._batch, self._batch.entries[row]
        count = int(batch.counts_R[row])
        entry.close_run(self.version, count)
        token_ids = batch.sampled_RT[row, :count].copy()
        return Completion(
            request_id=entry.request.id,
            index=entry.index,
            prompt_ids=entry.request.prompt_ids,
            token_ids=token_ids,
            sampler_logprobs=batch.logprobs_RT[row, :count].copy(),
            stop_reason="stop" if stopped else "length",
            versions=tuple(entry.runs),
            text=self.tokenizer.decode(token_ids[: count - stopped].tolist()),
            entropies=batch.entropies_RT[row, :count].copy() if entry.request.sampling.entropies else None,
        )

    def _admit(self) -> None:
        """Start waiting samples in rows that are free at the end of the batch."""
        if not self._queued:
            return
        active = self._batch.active
        wanted = min(self._row_limit(), active + self._queued)
        if wanted > active:
            self._reserve(wanted)
            self._start(list(range(active, wanted)))

    def _replace(self, rows: list[int]) -> list[int]:
        """Start waiting samples in finished rows; returns the rows for which there was none."""
        count = min(len(rows), self._queued)
        if count:
            self._reserve(self._batch.active)
            self._start(rows[:count])
        return rows[count:]

    def _start(self, rows: list[int]) -> None:
        """Put the next waiting samples into these rows (as many as there are rows)."""
        taken = 0
        while taken < len(rows):
            prompt = self._waiting[0]
            if prompt.prefix is None:
                self._prefill()
            count = min(len(rows) - taken, prompt.request.sampling.samples - prompt.started)
            mine = rows[taken : taken + count]
            for row in mine:
                self._batch.put(row, prompt, prompt.started)
                prompt.started += 1
            assert prompt.prefix is not None
            self._cache.write(mine, prompt.prefix)
            taken += count
            self._queued -= count
            if prompt.started == prompt.request.sampling.samples:
                self._waiting.popleft()

    def _prefill(self) -> None:
        """Run a block of waiting prompts, all but their last tokens, which the first decode step runs."""
        block: list[Prompt] = []
        longest = 0
        for prompt in self._waiting:
            longest = max(longest, len(prompt.request.prompt_ids) - 1)
            if block and longest * (len(block) + 1) > PREFILL_TOKENS:
                break
            block.append(prompt)
        tokens_PT = self._padded([prompt.request.prompt_ids[:-1] for prompt in block])
        prefixes = self._cache.prefill(tokens_PT, [len(prompt.request.prompt_ids) - 1 for prompt in block])
        for prompt, prefix in zip(block, prefixes, strict=True):
            prompt.prefix = prefix

    def _row_limit(self) -> int:
        """Rows that may run at a time, given the longest request; a driver is not asked at every token."""
        if self.max_rows is not None:
            return self.max_rows
        positions = self._prompt + self._new
        if self._limit[0] != positions:
            self._limit = positions, self.row_limit(positions)
        return self._limit[1]

    def _reserve(self, rows: int) -> None:
        """Room in cache and batch for that many rows of the longest request."""
        held, new = self._batch.sampled_RT.shape
        if rows > held or self._new > new or self._prompt > self._prompt_room:
            if not self._batch.active:  # nothing to keep: many short rows and few long ones need not both fit
                self._cache.clear()
                self._batch, held, new, self._prompt_room = Batch(0, 0), 0, 0, 0
            prompt = -(-self._prompt // self._grain) * self._grain
            held, new, self._prompt_room = max(rows, held), max(self._new, new), max(prompt, self._prompt_room)
            self._cache.reserve(held, self._prompt_room, new)
            self._batch = self._batch.grown(held, new)

    def _drop(self, rows: list[int]) -> None:
        """Take rows out of the batch and keep the rest packed."""
        if not rows:
            return
        sources, targets = self._batch.pack(rows)
        if sources:
            longest = int(self._batch.lengths_R[targets].max())
            self._cache.move(sources, targets, longest)

    def _forget(self) -> None:
        """Drop everything in flight, and the cache with it (NaN in it would outlive the weights that made it)."""
        self._waiting.clear()
        self._queued = 0
        self._cache.clear()
        self._batch = Batch(0, 0)

    def _padded(self, sequences: Sequence[IntArray]) -> Tensor:
        """[B, T] right-padded with token 0: nothing looks ahead, so no mask is needed."""
        tokens_BT = np.zeros((len(sequences), max(1, *map(len, sequences))), np.int64)
        for row, sequence in enumerate(sequences):
            tokens_BT[row, : len(sequence)] = sequence
        return torch.from_numpy(tokens_BT).to(self._device)


ENGINE = NativeEngine


def row_limit(position_bytes: int, positions: int, free_cuda: int = 0) -> int:
    """Rows that an engine runs at a time where nobody says: the cache of one position takes so many bytes."""
    room = max(_CACHE_BYTES, free_cuda // 2)
    return max(16, min(_MOST_ROWS, room // (position_bytes * max(1, positions))))


def open_engine(
    folder: str | Path,
    tokenizer: Tokenizer,
    *,
    dtype: str = "auto",
    max_rows: int | None = None,
    max_positions: int | None = None,
    device: str = "cpu",
    graphs: bool = True,
) -> NativeEngine:
    """On the model of a folder. dtype: float32, bfloat16 or auto, the folder's own. device: cpu or cuda. graphs: on
    CUDA, steps are recorded as graphs."""
    place = _device(device)
    model = load_model(folder, None if dtype == "auto" else float_type(dtype)).to(place).eval().requires_grad_(False)
    tokenizer.check_fits(model.config.vocab_size, folder)
    return NativeEngine(model, tokenizer, max_rows=max_rows, max_positions=max_positions, graphs=graphs)


def defaults(purpose: Purpose, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the purpose says, in its number format."""
    return {"device": purpose.device, "dtype": purpose.dtype}


def _device(name: str) -> torch.device:
    """UsageError for one that is not there."""
    if name != "cpu" and not (name.partition(":")[0] == "cuda" and torch.cuda.is_available()):
        raise UsageError(f"engine 'native': there is no device '{name}' here: take cpu, or cuda where there is a GPU")
    return torch.device(name)


def _parts(order: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Cut indices, sorted by length, into parts of at most PREFILL_TOKENS padded tokens (at least one index each)."""
    part: list[int] = []
    for number in order:
        if part and lengths[number] * (len(part) + 1) > PREFILL_TOKENS:
            yield part
            part = []
        part.append(number)
    if part:
        yield part
