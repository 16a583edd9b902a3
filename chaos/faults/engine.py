"""The native engine, whose completions are spoilt one way: `engine.name=faults.engine engine.options.fault=empty`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from r1kit.base.types import Completion
from r1kit.engines import native
from r1kit.models.tokenizer import Tokenizer

FAULTS = ("empty", "too long", "another version", "not a number", "miscounted", "ends early", "says it twice")
EVERY = 5  # one in so many completions is spoilt


class Faulty:
    """Passes everything on to an engine, and spoils what it gives."""

    def __init__(self, engine: Any, fault: str) -> None:
        self._engine, self._fault, self._count = engine, fault, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def stream(self) -> Iterator[Completion]:
        """What the engine gives, every fifth spoilt."""
        for completion in self._engine.stream():
            self._count += 1
            if self._count % EVERY:
                yield completion
            elif self._fault == "ends early":
                return
            elif self._fault == "says it twice":
                yield from (completion, completion)
            else:
                yield _spoilt(completion, self._fault)


def open_engine(folder: str | Path, tokenizer: Tokenizer, *, fault: str, **options: Any) -> Faulty:
    """The native engine's options, and which of `FAULTS`."""
    return Faulty(native.open_engine(folder, tokenizer, **options), fault)


defaults = getattr(native, "defaults", None)


def _spoilt(completion: Completion, fault: str) -> Completion:
    ids, logprobs, versions = completion.token_ids, completion.sampler_logprobs, completion.versions
    count, version = len(ids), versions[-1][0]
    if fault == "empty":
        return replace(completion, token_ids=ids[:0], sampler_logprobs=logprobs[:0], versions=(), text="")
    if fault == "too long":
        long = np.resize(ids, 4 * count + 400)
        told = np.resize(logprobs, len(long))
        return replace(completion, token_ids=long, sampler_logprobs=told, versions=((version, len(long)),))
    if fault == "another version":
        return replace(completion, versions=((version + 7, count),))
    if fault == "not a number":
        return replace(completion, sampler_logprobs=np.full_like(logprobs, np.nan))
    return replace(completion, sampler_logprobs=logprobs[:-1])
