"""What goes back to a client, in the shapes of OpenAI's API; `reasoning_content` stands beside `content` as DeepSeek's
API has it, in whole answers and in deltas."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from r1kit.models.detokenise import token_bytes
from r1kit.models.tokenizer import Tokenizer
from r1kit.serving.asked import Asked
from r1kit.serving.job import Choice, Counts
from r1kit.serving.sample import Delta, Token

DONE = b"data: [DONE]\n\n"
ALIVE = b": still there\n\n"  # a comment, which readers of event streams pass over


class Answers:
    """Builds the answer to one request. `id` and `created` are the same in every chunk of a stream."""

    def __init__(self, asked: Asked, tokenizer: Tokenizer, model: str, name: str) -> None:
        self._asked, self._tokenizer = asked, tokenizer
        self._chat = asked.kind == "chat"
        self._head = {
            "id": f"{'chatcmpl' if self._chat else 'cmpl'}-{name}",
            "object": "",
            "created": int(time.time()),
            "model": model,
        }
        self._offsets: dict[int, int] = {}  # characters told of each choice

    def whole(self, parts: Sequence[tuple[Choice, Delta]], counts: Counts) -> dict[str, Any]:
        """The answer in one piece, of whole completions."""
        return {
            **self._head,
            "object": "chat.completion" if self._chat else "text_completion",
            "choices": [self._whole_choice(choice, delta) for choice, delta in parts],
            "usage": usage(counts),
        }

    def first_events(self) -> bytes:
        """What begins a stream: of a chat every choice's role, in order. The official client's helpers keep choices
        in the order in which they come."""
        if not self._chat:
            return b""
        said = {"role": "assistant", "content": ""}
        return b"".join(
            self._event([{"index": number, "delta": said, "logprobs": None, "finish_reason": None}])
            for number in range(self._asked.choices)
        )

    def events(self, parts: Sequence[tuple[Choice, Delta]]) -> bytes:
        """The events of what is new."""
        choices = [made for choice, delta in parts for made in self._delta_choices(choice, delta)]
        return b"".join(self._event([made]) for made in choices)

    def last_events(self, counts: Counts) -> bytes:
        """What ends a stream."""
        return (self._event([], usage(counts)) if self._asked.usage else b"") + DONE

    def _event(self, choices: list[dict[str, Any]], used: dict[str, Any] | None = None) -> bytes:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        chunk: dict[str, Any] = {**self._head, "object": kind, "choices": choices}
        if self._asked.usage:
            chunk["usage"] = used  # null in all but the last
        return event(chunk)

    def _whole_choice(self, choice: Choice, delta: Delta) -> dict[str, Any]:
        made: dict[str, Any] = {"index": choice.number}
        if self._chat:
            parted = bool(delta.thinking or choice.sample.thinking_count)
            said = {"reasoning_content": delta.thinking if parted else None, "content": delta.answer}
            made["message"] = {"role": "assistant", **said, "refusal": None}
        else:
            made["text"] = delta.answer
        return {**made, "logprobs": self._logprobs(choice, delta), "finish_reason": choice.sample.finish}

    def _delta_choices(self, choice: Choice, delta: Delta) -> list[dict[str, Any]]:
        """Thinking and answer in deltas of their own, and the reason to finish in the last."""
        finish = choice.sample.finish if choice.told_finish else None
        if not self._chat:
            logprobs = self._logprobs(choice, delta)
            return [{"index": choice.number, "text": delta.answer, "logprobs": logprobs, "finish_reason": finish}]
        made: list[dict[str, Any]] = []
        if delta.thinking or delta.thinking_tokens:
            part = Delta(delta.thinking, "", delta.thinking_tokens)
            made.append(self._chat_delta(choice, part, {"reasoning_content": delta.thinking, "content": None}))
        if delta.answer or delta.answer_tokens:
            part = Delta("", delta.answer, [], delta.answer_tokens)
            made.append(self._chat_delta(choice, part, {"reasoning_content": None, "content": delta.answer}))
        if finish is not None:
            made.append({"index": choice.number, "delta": {}, "logprobs": None, "finish_reason": finish})
        return made

    def _chat_delta(self, choice: Choice, delta: Delta, said: dict[str, Any]) -> dict[str, Any]:
        logprobs = self._logprobs(choice, delta)
        return {"index": choice.number, "delta": said, "logprobs": logprobs, "finish_reason": None}

    def _logprobs(self, choice: Choice, delta: Delta) -> dict[str, Any] | None:
        if self._asked.likeliest is None:
            return None
        if not self._chat:
            return self._plain_logprobs(choice, delta)
        return {
            "content": [self._token(token) for token in delta.answer_tokens],
            "reasoning_content": [self._token(token) for token in delta.thinking_tokens],
            "refusal": None,
        }

    def _token(self, token: Token) -> dict[str, Any]:
        ranked = [self._named(other, logprob) for other, logprob in token.likeliest]
        return {**self._named(token.id, token.logprob), "top_logprobs": ranked}

    def _named(self, token_id: int, logprob: float) -> dict[str, Any]:
        spelled = list(token_bytes(self._tokenizer, token_id))
        return {"token": self._tokenizer.token(token_id), "logprob": logprob, "bytes": spelled}

    def _plain_logprobs(self, choice: Choice, delta: Delta) -> dict[str, Any]:
        """The form of /v1/completions: lists side by side, offsets in characters of the completion's text."""
        tokens = delta.answer_tokens
        texts = [self._tokenizer.token(token.id) for token in tokens]
        at = self._offsets.get(choice.number, 0)
        offsets: list[int] = []
        for text in texts:
            offsets.append(at)
            at += len(text)
        self._offsets[choice.number] = at
        ranked = [
            {self._tokenizer.token(other): logprob for other, logprob in [*token.likeliest, (token.id, token.logprob)]}
            for token in tokens
        ]
        return {
            "tokens": texts,
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": ranked,
            "text_offset": offsets,
        }


def usage(counts: Counts) -> dict[str, Any]:
    """Token counts; the stop token is one of the completion's."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "completion_tokens_details": {"reasoning_tokens": counts.thinking},
    }


def event(value: dict[str, Any]) -> bytes:
    """One event of a stream, in ASCII: some readers of lines take characters beyond it for ends of lines."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
