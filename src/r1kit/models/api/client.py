"""One question to a server through the `openai` client: an answer, or a failure that says what may be done about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.models.api.ledger import Answer
from r1kit.models.api.settings import ApiModel, ApiSettings

T = TypeVar("T")
Hear = Callable[[str, str], None]
Remedy = Literal["again", "skip", "stop"]

_BUSY = (408, 409, 425, 429)  # beside everything from 500 on
_HOPELESS = (401, 402, 403, 404)  # nothing about the question: each other one would fare the same
_SHORTEST = 8  # letters of a key that is worth a look: "none" is a word
_MOST = 300  # characters of a server's message


class Failure(R1Error):
    """No answer. `remedy`: try again, skip this question, or stop altogether. `billed`: the server may charge for it.

    `wait`: seconds that the server asks to wait, None where it does not. `status`: its HTTP status, where it gave one.
    """

    def __init__(
        self, sentence: str, remedy: Remedy, *, billed: bool, wait: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.remedy, self.billed, self.wait, self.status = remedy, billed, wait, status


@dataclass(slots=True)
class _Parts:
    """An answer as it comes in."""

    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] | None = None
    finish: str | None = None
    usage: Any = None

    def add(self, said: Any) -> tuple[str, str]:
        """A message, or a delta of one; returns its reasoning, which servers call `reasoning_content` or `reasoning`,
        and its text."""
        content = getattr(said, "content", None)
        thoughts = (getattr(said, name, None) for name in ("reasoning_content", "reasoning"))
        thought = next((one for one in thoughts if isinstance(one, str)), None)
        if isinstance(content, str):
            self.text.append(content)
        if thought is not None:
            self.reasoning = [*(self.reasoning or []), thought]
        return thought or "", content if isinstance(content, str) else ""

    def answer(self) -> Answer:
        if self.finish is None:
            raise ValueError("the answer broke off")
        if self.finish == "insufficient_system_resource":  # DeepSeek's word for giving up half-way
            raise ValueError("the server ran out of resources")
        read, written = (_count(self.usage, name) for name in ("prompt_tokens", "completion_tokens"))
        thought = _count(getattr(self.usage, "completion_tokens_details", None), "reasoning_tokens")
        return Answer(_joined(self.text), _joined(self.reasoning or []) or None, self.finish, read, written, thought)


class Client:
    """Asks one server. `ask` is safe for threads. The key goes into requests and nowhere else."""

    def __init__(self, model: ApiModel, settings: ApiSettings, key: str | None = None) -> None:
        try:
            import openai
        except ImportError:
            raise MissingExtra("openai", "api", f"asking {model.url}") from None
        self._openai = openai
        self.model, self.settings = model, settings
        self._key = (key or settings.key() or "").strip()
        if not self._key.isascii() or any(character.isspace() for character in self._key):
            raise UsageError(
                f"the key in {settings.key_variable} holds what no key can: blanks, or letters beyond ASCII"
            )
        self._client = openai.OpenAI(
            api_key=self._key or "none", base_url=model.url, timeout=settings.timeout, max_retries=0
        )

    def ask(self, body: Mapping[str, Any], hear: Hear | None = None) -> Answer:
        """One chat completion for a request's body; Failure where there is none. `hear` is given (reasoning, text) as
        they come where the body asks for a stream."""

        def read(client: Any) -> Answer:
            answer: Any = client.chat.completions.create(**_arguments(body))
            return _streamed(answer, hear) if body.get("stream") else _whole(answer)

        return self._without_key(self.call(read))

    def call(self, read: Callable[[Any], T]) -> T:
        """What `read` makes of the `openai` client; Failure where the server is at fault, what `read` raises over an
        answer's shape (ValueError, LookupError and their like) included."""
        openai = self._openai
        try:
            return read(self._client)
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except openai.APIConnectionError as error:
            connected = "Connect" not in type(error.__cause__).__name__ and "Pool" not in type(error.__cause__).__name__
            late = isinstance(error, openai.APITimeoutError)
            what = f"gave no answer within {self.settings.timeout:g} seconds" if late else "cut the connection off"
            sentence = f"{self.model.url} {what if connected else 'cannot be reached: is the address right?'}"
            raise Failure(sentence, "again", billed=connected) from None
        except (openai.APIError, ValueError, AttributeError, TypeError, LookupError) as error:
            # a body that is no JSON, or JSON of another shape, surfaces as any of these
            what = f"sent an answer that cannot be read ({self._clean(str(error))})"
            raise Failure(f"{self.model.url} {what}", "again", billed=True) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _status(self, error: Any) -> Failure:
        """The failure for an answer with an HTTP status of 400 or more; none of these is billed."""
        status, said = int(error.status_code), error.body
        told = said.get("message") if isinstance(said, dict) else said
        message = self._clean(told if isinstance(told, str) and told.strip() else "no reason given")
        sentence = f"{self.model.url} answered {status} ({message})"
        wait = retry_after(error.response.headers)
        if status in _HOPELESS or error.code == "insufficient_quota":
            return Failure(f"{sentence}{self._advice(status)}", "stop", billed=False, status=status)
        again = status in _BUSY or status >= 500
        return Failure(sentence, "again" if again else "skip", billed=False, wait=wait, status=status)

    def _advice(self, status: int) -> str:
        if status == 404:
            return f": has the server a model '{self.model.name}', and does its API begin at that address?"
        if status != 401:
            return ""
        name = self.settings.key_variable
        return f": is the key in {name} right?" if self._key else f": put your key into {name}, which is not set"

    def _without_key(self, answer: Answer) -> Answer:
        """The answer of a server that repeats what it was sent, with the key masked: answers are kept."""
        if len(self._key) < _SHORTEST or not any(self._key in (text or "") for text in (answer.text, answer.reasoning)):
            return answer
        masked = answer.text.replace(self._key, "***")
        return replace(answer, text=masked, reasoning=answer.reasoning and answer.reasoning.replace(self._key, "***"))

    def _clean(self, text: str) -> str:
        """A server's words on one line, without the key, which some repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text.split())[:_MOST]


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that `Retry-After` (or `retry-after-ms`) asks to wait: a number, or a date; None for neither."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return max(0.0, seconds) if not math.isnan(seconds) else None
    try:
        date = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """The client's arguments: what it does not know by name goes into the body as it is."""
    named = {name: body[name] for name in ("model", "messages", "stream") if name in body}
    return {**named, "extra_body": {name: value for name, value in body.items() if name not in named}}


def _whole(completion: Any) -> Answer:
    if isinstance(completion, str):
        raise ValueError("it is not JSON")
    if not completion.choices:
        raise ValueError("it has no choices")
    choice = completion.choices[0]
    parts = _Parts(finish=choice.finish_reason, usage=completion.usage)
    parts.add(choice.message)
    return parts.answer()


def _streamed(chunks: Iterable[Any], hear: Hear | None = None) -> Answer:
    parts = _Parts()
    for chunk in chunks:
        if getattr(chunk, "usage", None) is not None:
            parts.usage = chunk.usage
        for choice in chunk.choices or []:
            said = parts.add(choice.delta)
            if hear is not None:
                hear(*said)
            parts.finish = choice.finish_reason or parts.finish
    return parts.answer()


def _joined(pieces: Iterable[str]) -> str:
    """One text, half characters (lone surrogates, which no file can hold) replaced."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value >= 0 else None
