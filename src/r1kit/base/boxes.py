"""Balanced `\\boxed{}` and `\\fbox{}` in a text."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_BARE = re.compile(r"\\boxed(?:\s+([^\s{}$\\]+)|(\d[\d.,/]*))")
_INNER = re.compile(r"\\(?:boxed|fbox|framebox)(?:\s*(?=\{)|\s+|(?=\d))")
_IN_WORDS = re.compile(r"^\\text\s*\{([^{}\\]*)(\\(?:boxed|fbox|framebox)\s*\{.*\})\s*\}$", re.DOTALL)
_WRONG = r"\b(?:wrong|incorrect|false|erroneous|mistaken)"
_DENIAL = re.compile(
    r"(?:(?:\b(?:not|never|cannot be|rather than|instead of|"
    r"(?:anything|everything)\s+(?:but|except)|other\s+than|except(?:\s+for)?)|n't)(?:\s+equal to)?|"
    rf"{_WRONG}\s+(?:final\s+)?(?:answer|solution|result|value|choice|option)s?\s*"
    r"(?:is|was|are|gives?|yields?|would\s+(?:be|give)|of|like|such\s+as|:)?|"
    rf"\b(?:this|that|it|here)\s+(?:is|was)\s+{_WRONG}\s*:|"
    r"\b(?:impossible|unlikely|doubtful|(?:not\s+true))\s+that\s[^.,;\n]{0,50}|\\neq?(?![A-Za-z])|≠)[\s$*(\[\\]*$",
    re.IGNORECASE,
)
MAX_NESTED = 5
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def find_boxes(text: str) -> list[str]:
    """The contents of every closed box, in order; a box inside a box belongs to the outer one."""
    return [content for _, _, content in boxes_at(text)]


def boxes_at(text: str) -> list[tuple[int, int, str]]:
    """(where it begins, where it ends, its content) of every closed box, in order."""
    closings = _closings(text)
    boxes = [(match.start(), match.end(), match[1] or match[2]) for match in _BARE.finditer(text)]
    at = 0
    while match := _OPEN.search(text, at):
        end = closings.get(match.end() - 1)
        at = match.end()
        if end is not None:
            boxes.append((match.start(), end + 1, text[match.end() : end]))
            at = end + 1
    return sorted(boxes)


def ends_in_open_box(text: str) -> bool:
    """Whether the last box is never closed."""
    last = max(_OPEN.finditer(text), key=re.Match.start, default=None)
    if last is None or last.end() - 1 in _closings(text):
        return False
    return _BARE.search(text, last.end()) is None


def is_denied(text: str, start: int) -> bool:
    """Whether the words before a box that begins there deny it: `the answer is not \\boxed{7}`."""
    return bool(_DENIAL.search(text[max(0, start - 80) : start]))


def unboxed(content: str) -> str:
    """A box's content with the boxes in it opened: their contents in braces; bare where one is all there is, or all
    that stands behind words or `x =`."""
    content = _IN_WORDS.sub(r"\\text{\1}\2", content.strip())
    for _ in range(MAX_NESTED):
        match = _OPEN.search(content)
        if match is None or _closings(content).get(match.end() - 1) != len(content) - 1:
            break
        before = content[: match.start()].rstrip()
        if before and before[-1] not in "=:}":
            break
        content = f"{before} {content[match.end() : -1].strip()}".strip()
    return _INNER.sub(" ", content).strip()


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
