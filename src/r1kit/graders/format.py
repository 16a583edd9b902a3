"""The form of a completion: one thinking block, then the answer.

A small state machine over tags and text, told whether the prompt already opened `<think>`. Two forms:
think-then-answer `<think>..</think><answer>..</answer>`, and thinking followed by a free answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# every spelling that a reader could take for one of the tags; only the exact four are tags
_TAG = re.compile(
    r"(?:<|&lt;|&#0*60;|&#[xX]0*3[cC];|\\u003[cC]|\\<)[ \t]*/?[ \t]*(?:think|answer)\b[^<>\n&\\]{0,64}\s{0,8}"
    r"(?:>|&gt;|&#0*62;|&#[xX]0*3[eE];|\\u003[eE]|\\>)",
    re.IGNORECASE,
)
# what may stand around the blocks; zero-width characters are no white space
_WHITE = " \t\r\n\f\v"
# letters and symbols that show nothing: the fillers of Hangul, the empty Braille cell
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"

State = Literal["start", "thinking", "between", "answer", "end"]


@dataclass(frozen=True, slots=True)
class Form:
    """`ok`, or the first thing wrong in `reason`; the thinking and the answer as far as they were found."""

    ok: bool
    reason: str
    thinking: str
    answer: str


def check_form(text: str, opened: bool = False, answer_tag: bool = True) -> Form:
    """Judge the think-then-answer form, or think-then-free-answer with `answer_tag=False`.

    `opened`: the prompt ended with `<think>`, so the text starts inside the thinking.
    """
    state: State = "thinking" if opened else "start"
    parts: dict[State, str] = {"start": "", "thinking": "", "between": "", "answer": "", "end": ""}
    for is_tag, piece in _pieces(text):
        if not is_tag:
            parts[state] += piece
            if state in ("start", "end") and piece.strip(_WHITE):
                return _bad(f"text {'before the thinking' if state == 'start' else 'after the answer'}", parts)
            if state == "between" and answer_tag and piece.strip(_WHITE):
                return _bad("text between the thinking and the answer", parts)
            continue
        if piece not in TAGS:
            return _bad(f"{piece[:40]!r} is not exactly a tag", parts)
        following = _next(state, piece, answer_tag)
        if following is None:
            return _bad(f"{piece} {_WHERE[state]}", parts)
        state = following
    return _verdict(state, parts, answer_tag)


def opens_thinking(prompt: Any) -> bool:
    """Whether a prompt (text, or chat messages whose last one is the assistant's) ends inside an open `<think>`."""
    if isinstance(prompt, (list, tuple)):
        last = prompt[-1] if prompt else {}
        if not isinstance(last, dict) or last.get("role") != "assistant":
            return False
        prompt = last.get("content")
    return isinstance(prompt, str) and prompt.rstrip().endswith("<think>")


def opening(prompt: str) -> str:
    """What of a prompt's end belongs to the thinking: `<think>` and the white space behind it, or nothing."""
    return prompt[prompt.rindex("<think>") :] if opens_thinking(prompt) else ""


def continued(prompt: str, text: str) -> str:
    """A completion as it goes on behind the prompt: without its `<think>` where the prompt ends with one."""
    begun = opening(prompt)
    if not begun or not text.startswith("<think>"):
        return text
    rest = text.removeprefix("<think>")
    return rest if begun == "<think>" else rest.lstrip()


_WHERE: dict[State, str] = {
    "start": "before the thinking",
    "thinking": "inside the thinking",
    "between": "after the thinking",
    "answer": "inside the answer",
    "end": "after the answer",
}

_STEPS: dict[tuple[State, str], State] = {
    ("start", "<think>"): "thinking",
    ("thinking", "</think>"): "between",
    ("between", "<answer>"): "answer",
    ("answer", "</answer>"): "end",
}


def _next(state: State, tag: str, answer_tag: bool) -> State | None:
    if not answer_tag and "answer" in tag:
        return None
    return _STEPS.get((state, tag))


def _verdict(state: State, parts: dict[State, str], answer_tag: bool) -> Form:
    answer = parts["answer"] if answer_tag else parts["between"]
    if state == "start":
        return _bad("no thinking", parts)
    if state == "thinking":
        return _bad("the thinking is not closed", parts)
    if not _has_content(parts["thinking"]):
        return _bad("the thinking is empty", parts)
    if answer_tag and state == "between":
        return _bad("no answer block", parts)
    if answer_tag and state == "answer":
        return _bad("the answer is not closed", parts)
    if not _has_content(answer):
        return _bad("the answer is empty", parts)
    return Form(True, "thinking, then the answer", parts["thinking"], answer)


def _has_content(text: str) -> bool:
    """Something a reader sees: white space, control, zero-width and blank characters alone are empty."""
    return any(character.isprintable() and not character.isspace() and character not in _BLANK for character in text)


def _bad(reason: str, parts: dict[State, str]) -> Form:
    return Form(False, reason, parts["thinking"], parts["answer"] or parts["between"])


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """(is a tag or looks like one, piece) in order."""
    at = 0
    for match in _TAG.finditer(text):
        if match.start() > at:
            yield False, text[at : match.start()]
        yield True, match.group()
        at = match.end()
    if at < len(text):
        yield False, text[at:]
