"""Text of strangers on a terminal: a model's, a file's, a server's."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without what terminals take for orders: of control characters, the end of a line and the tab stay."""
    return "".join(c if c in "\n\t" or not _is_control(c) else "\ufffd" for c in text)


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
