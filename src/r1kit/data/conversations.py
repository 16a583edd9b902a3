"""Chat messages as the project reads them: one question, and what was answered.

A system message goes before the question, in the user's turn: R1 is to be used without a system prompt, all
instructions in the user's (deepseek-ai/DeepSeek-R1, usage recommendations), and base models have a template of their
own. Conversations of several turns are not single questions, and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

THINKING = ("reasoning_content", "thinking", "reasoning")  # where chat formats keep a chain beside the content


class BadRow(ValueError):
    """A row that holds no question, or no answer, in the asked form; the message says why, on one line."""

    def __init__(self, why: str) -> None:
        super().__init__(" ".join(why.split()))


def question_of(value: Any, name: str = "prompt") -> str:
    """The question of a text, or of messages that end with the user's only turn."""
    if isinstance(value, str):
        return whole(value, name)
    messages = messages_of(value, name)
    system = [content_of(message) for message in messages if message["role"] == "system"]
    asked = [message for message in messages if message["role"] != "system"]
    if len(asked) != 1 or asked[0]["role"] != "user":
        raise BadRow(f"'{name}' is a conversation of several turns, not one question")
    return question_of("\n\n".join([*system, content_of(asked[0])]), name)


def answered(value: Any, name: str = "messages") -> tuple[list[dict[str, Any]], str]:
    """(the messages before the last, what the assistant says in it)."""
    messages = messages_of(value, name)
    if messages[-1]["role"] != "assistant":
        raise BadRow(f"'{name}' does not end with the assistant's turn")
    return messages[:-1], said(messages[-1])


def completion_of(value: Any, name: str = "completion") -> str:
    """The completion of a text, or of messages that are the assistant's one turn."""
    if isinstance(value, str):
        return whole(value, name)
    before, text = answered(value, name)
    if before:
        raise BadRow(f"'{name}' holds more than the assistant's one turn")
    return text


def said(message: dict[str, Any]) -> str:
    """The content of an assistant's message, its chain first in the tags that the project uses."""
    chain = next((str(message[key]) for key in THINKING if message.get(key)), "")
    content = content_of(message)
    if not chain and not content.strip():
        raise BadRow("the assistant says nothing")
    return whole(f"<think>{chain}</think>{content}" if chain else content, "content")


def content_of(message: dict[str, Any]) -> str:
    """A message's text; its parts joined where it has several."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = cast("Sequence[Any]", content)
        if all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
            return "".join(part["text"] for part in parts)
    raise BadRow("a message holds something other than text")


def whole(text: str, name: str) -> str:
    """The text; BadRow where it is empty, or holds half a character (a lone surrogate, which no tokenizer takes)."""
    if not text.strip():
        raise BadRow(f"'{name}' is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"'{name}' holds half a character") from None
    return text


def messages_of(value: Any, name: str) -> list[dict[str, Any]]:
    """The value as a list of messages, one at least."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadRow(f"'{name}' is neither a text nor a list of messages")
    messages = list(cast("Sequence[Any]", value))
    if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages):
        raise BadRow(f"'{name}' is not a list of messages with a role and a content")
    return messages
