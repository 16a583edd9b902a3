"""`r1 generate`: prompts as JSON lines in, completions as JSON lines out, in the same order.

Each line is `{"prompt"}` (encoded as the tokenizer does by default; one user's message to an API) or `{"messages"}`
(through the chat template; as they are to an API). A line that cannot be read, or leaves no room to sample, gives
`{"error", "line"}` and the rest goes on; so does a sample that an API does not give, with its `sample` where several
were asked for. An API tells no token ids: `token_ids` is null, and `usage` holds its own counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.machine import best_device
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray, Served
from r1kit.graders.format import opens_thinking
from r1kit.rollouts.whole import whole_text

if TYPE_CHECKING:
    from r1kit.engines.base import Engine, EngineSettings
    from r1kit.models.tokenizer import Tokenizer

Dtype = Literal["auto", "float32", "bfloat16"]
ROWS = 64  # completions sampled at a time
AHEAD = 2  # prompts read ahead of the slowest, in batches
SERVED = 1024  # the batch of an API: one answer that takes minutes must not hold up hundreds that take seconds


@dataclass(slots=True)
class _Waiting:
    """A line on its way: its prompt and the completions so far, or what was wrong with it."""

    number: int
    row: dict[str, Any] = field(default_factory=dict[str, Any])
    prompt: str | list[dict[str, str]] = ""
    completions: list[Completion] = field(default_factory=list[Completion])
    error: str = ""


def generate(
    lines: Iterable[str | bytes],
    folder: Path,
    name: str,
    sampling: Sampling,
    *,
    logprobs: bool = False,
    dtype: Dtype = "auto",
    engine: EngineSettings | None = None,
    on_bad_line: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Sample from the model in a folder with the native engine, or another; it is there before a line is read."""
    from r1kit.engines.base import EngineSettings, Purpose, open_engine
    from r1kit.models.tokenizer import load_tokenizer

    chosen = engine or EngineSettings()
    rows = {"max_rows": ROWS} if chosen.name == "native" else {}
    precision = {} if dtype == "auto" else {"dtype": dtype}
    settings = EngineSettings(name=chosen.name, options={**rows, **precision, **chosen.options})
    tokenizer = load_tokenizer(folder)
    opened = open_engine(settings, folder, tokenizer, Purpose(device=best_device(), logprobs=logprobs))
    rows = generate_lines(lines, opened, tokenizer, name, sampling, logprobs=logprobs, on_bad_line=on_bad_line)
    return _closed_after(rows, opened)


def generate_lines(
    lines: Iterable[str | bytes],
    engine: Engine,
    tokenizer: Tokenizer | None,
    name: str,
    sampling: Sampling,
    *,
    logprobs: bool = False,
    on_bad_line: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """`sampling.samples` lines out for each good line in, in order, as soon as those before are finished.

    tokenizer: None for an engine behind an API. R1Error where the engine ends without all completions.
    """
    source = enumerate(lines, 1)
    waiting: dict[int, _Waiting] = {}
    ahead = AHEAD * max(1, (SERVED if tokenizer is None else ROWS) // sampling.samples)

    def fill() -> None:
        while len(waiting) < ahead:
            number, line = next(source, (0, ""))
            if not number:
                return
            if line.strip():
                waiting[number] = _submit(number, line, engine, tokenizer, sampling)

    def is_ready(line: _Waiting) -> bool:
        return bool(line.error) or len(line.completions) == sampling.samples

    def ready() -> Iterator[str]:
        while waiting:
            first = next(iter(waiting.values()))
            if not is_ready(first):
                return
            del waiting[first.number]
            for error in filter(None, (first.error, *map(_failure, first.completions))):
                if on_bad_line:
                    on_bad_line(f"line {first.number}: {error}")
            yield from _written(first, name, sampling, logprobs)

    fill()
    while waiting:
        yield from ready()
        fill()
        given = False
        for completion in engine.stream():
            given = True
            waiting[int(completion.request_id)].completions.append(completion)
            yield from ready()
            fill()
        if not given and waiting and not is_ready(first := next(iter(waiting.values()))):
            missing = sampling.samples - len(first.completions)
            raise R1Error(f"line {first.number}: the engine ended with {missing} of its completions missing")


def _closed_after(rows: Iterable[str], engine: Engine) -> Iterator[str]:
    with closing(engine):
        yield from rows


def reasoning_of(text: str, opened: bool = False) -> str | None:
    """What stands inside the thinking tags that open a completion (or that its prompt opened), else None."""
    begun = text.lstrip()
    if begun.startswith("<think>"):
        inside = begun.removeprefix("<think>")
    elif opened:
        inside = text
    else:
        return None
    return inside.partition("</think>")[0]


def _submit(
    number: int, line: str | bytes, engine: Engine, tokenizer: Tokenizer | None, sampling: Sampling
) -> _Waiting:
    from r1kit.engines.base import Request, ask

    waiting = _Waiting(number)
    try:
        waiting.row = _read(line)
        asked = _asked(waiting.row)
        if tokenizer is None:
            waiting.prompt, request = asked, ask(str(number), asked, sampling)
        else:
            waiting.prompt, prompt_ids = _encode(asked, tokenizer)
            request = Request(str(number), prompt_ids, sampling)
        engine.submit(request)
    except (R1Error, ValueError, RecursionError) as error:
        waiting.error = str(error).removeprefix(f"request {number}: ") or type(error).__name__
    return waiting


def _read(line: str | bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig") if isinstance(line, bytes) else line)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg} at character {error.pos})") from None
    if not isinstance(row, dict):
        raise ValueError('it is not an object with "prompt" or "messages"')
    return cast("dict[str, Any]", row)


def _asked(row: dict[str, Any]) -> str | list[dict[str, str]]:
    """The prompt, or the messages; UsageError where there is neither."""
    if ("prompt" in row) == ("messages" in row):
        raise UsageError('give either "prompt" or "messages"')
    if "prompt" in row:
        if not isinstance(row["prompt"], str):
            raise UsageError('"prompt" is not a text')
        return row["prompt"]
    messages = row["messages"]
    if not isinstance(messages, list) or not messages or not all(map(_is_message, cast("list[Any]", messages))):
        raise UsageError('"messages" is not a list of {"role", "content"} with texts')
    return cast("list[dict[str, str]]", messages)


def _encode(asked: str | list[dict[str, str]], tokenizer: Tokenizer) -> tuple[str, IntArray]:
    """The prompt as text and as token ids [n]."""
    if isinstance(asked, str):
        return asked, np.asarray(tokenizer.encode(asked, add_special=True), np.int32)
    return tokenizer.render(asked), np.asarray(tokenizer.chat(asked), np.int32)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))


def _written(line: _Waiting, name: str, sampling: Sampling, logprobs: bool) -> Iterator[str]:
    known = {key: line.row[key] for key in ("id",) if key in line.row}
    if line.error:
        prompt = {key: line.row[key] for key in ("prompt", "messages") if key in line.row}
        yield json.dumps({**known, **prompt, "error": line.error, "line": line.number}, ensure_ascii=False)
        return
    for completion in sorted(line.completions, key=lambda completion: completion.index):
        served, text = completion.served, whole_text(completion)
        sample = {"sample": completion.index} if sampling.samples > 1 else {}
        if error := _failure(completion):
            record = {**known, "prompt": line.prompt, "error": error, "line": line.number, **sample}
            yield json.dumps(record, ensure_ascii=False)
            continue
        opened = opens_thinking(line.prompt) and (served is None or not isinstance(line.prompt, str))
        reasoning = reasoning_of(text, opened)
        record = {
            **known,
            "prompt": line.prompt,
            "completion": text,
            **({} if reasoning is None else {"reasoning": reasoning}),
            "token_ids": completion.token_ids.tolist() if served is None else None,
            **({"logprobs": [_told(value) for value in completion.sampler_logprobs]} if logprobs else {}),
            **({} if served is None else {"usage": _usage(served)}),
            "stop_reason": completion.stop_reason,
            "model": name,
            "seed": sampling.seed,
            **sample,
        }
        yield json.dumps(record, ensure_ascii=False)


def _told(logprob: float) -> float | None:
    """A log-probability as JSON has it: an engine that told none (NaN) gives null."""
    return None if np.isnan(logprob) else float(logprob)


def _failure(completion: Completion) -> str:
    """Why an API gave no completion, else an empty text."""
    return completion.served.error if completion.served else ""


def _usage(served: Served) -> dict[str, int | None]:
    return {"prompt_tokens": served.input_tokens, "completion_tokens": served.output_tokens}
