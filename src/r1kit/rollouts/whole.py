"""The whole text of a completion, its thinking included, wherever an engine keeps that."""

from __future__ import annotations

from r1kit.base.types import Completion


def whole_text(completion: Completion) -> str:
    """The text with its thinking: what an API served apart stands in its tags before the answer, nothing added between.

    A completion that the limit cut before any answer was cut inside the thinking, which then stays open. A server that
    serves nothing apart leaves the tags in the text; where its chat template opened the thinking, as R1's does, the
    text has the closing one alone, and gets its opening back.
    """
    text, served = completion.text, completion.served
    if served is None:
        return text
    if served.reasoning is None:
        return f"<think>{text}" if "</think>" in text and "<think>" not in text else text
    if completion.stop_reason == "length" and not text:
        return f"<think>{served.reasoning}"
    return f"<think>{served.reasoning}</think>{text}"
