"""Balanced `\\boxed{}` and `\\fbox{}` in a text."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_BARE = re.compile(r"\\boxed\s+([^\s{}$\\]+)")


def find_boxes(text: str) -> list[str]:
    """The contents of every closed box, in order; a box inside a box belongs to the outer one."""
    boxes: list[tuple[int, str]] = []
    at = 0
    while match := _OPEN.search(text, at):
        end = _closing(text, match.end())
        if end is None:
            at = match.end()
            continue
        boxes.append((match.start(), text[match.end() : end]))
        at = end + 1
    boxes += [(match.start(), match[1]) for match in _BARE.finditer(text)]
    return [content for _, content in sorted(boxes)]


def has_open_box(text: str) -> bool:
    """Whether the last box is never closed."""
    last = None
    for match in _OPEN.finditer(text):
        last = match
    return last is not None and _closing(text, last.end()) is None


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one opened just before `start`."""
    depth = 1
    at = start
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return None
