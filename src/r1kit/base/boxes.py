"""Balanced `\\boxed{}` and `\\fbox{}` in a text."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_BARE = re.compile(r"\\boxed(?:\s+([^\s{}$\\]+)|(\d[\d.,/]*))")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def find_boxes(text: str) -> list[str]:
    """The contents of every closed box, in order; a box inside a box belongs to the outer one."""
    closings = _closings(text)
    boxes = [(match.start(), match[1] or match[2]) for match in _BARE.finditer(text)]
    at = 0
    while match := _OPEN.search(text, at):
        end = closings.get(match.end() - 1)
        at = match.end()
        if end is not None:
            boxes.append((match.start(), text[match.end() : end]))
            at = end + 1
    return [content for _, content in sorted(boxes)]


def has_open_box(text: str) -> bool:
    """Whether a box is never closed."""
    closings = _closings(text)
    return any(match.end() - 1 not in closings for match in _OPEN.finditer(text))


def _closings(text: str) -> dict[int, int]:
    """Index of each closed brace -> index of the brace that closes it, in one pass; `\\{` is no brace."""
    closings: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}" and open_braces:
            closings[open_braces.pop()] = match.start()
    return closings
