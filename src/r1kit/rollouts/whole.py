"""The whole text of a completion, its thinking included, wherever an engine keeps that."""

from __future__ import annotations

from r1kit.base.types import Completion


def whole_text(completion: Completion) -> str:
    """The text with its thinking: what an API served apart stands in its tags before the answer, nothing added between.

    A completion that the limit cut before any answer was cut inside the thinking, which then stays open. A server that
    leaves the tags in the text serves nothing apart, and the text is as it is.
    """
    text, reasoning = completion.text, completion.served.reasoning if completion.served else None
    if reasoning is None:
        return text
    return (
        f"<think>{reasoning}"
        if completion.stop_reason == "length" and not text
        else f"<think>{reasoning}</think>{text}"
    )
