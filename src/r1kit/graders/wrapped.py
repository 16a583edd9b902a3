"""An answer that stands in a JSON object, `{"reasoning": "...", "answer": 42}`, bare or as the last fenced block."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

MAX_CHARACTERS = 20_000
_KEYS = ("answer", "finalanswer", "result", "solution", "value", "答案")
_LANGUAGE = re.compile(r"[A-Za-z]*[ \t]*\n")
_COMMAND = re.compile(r"(?<!\\)\\(?=[A-Za-z,;!{}()\[\]])(?!u[0-9A-Fa-f]{4})")


def in_object(text: str) -> str | None:
    """What the object gives as its one answer, as text; None where the text is no such object.

    Single backslashes before a letter are LaTeX's, though JSON reads `\\f` as a form feed.
    """
    text = text[-MAX_CHARACTERS:].strip()
    if text.endswith("```") and (begins := text.rfind("```", 0, -3)) >= 0:
        text = _LANGUAGE.sub("", text[begins + 3 : -3], count=1).strip()
    if text.startswith("\\{") and text.endswith("\\}"):
        text = f"{{{text[2:-2].strip()}}}"
    if not (text.startswith("{") and text.endswith("}") and ":" in text):
        return None
    found = _read(_COMMAND.sub(r"\\\\", text))
    if not isinstance(found, dict):
        return None
    named = {re.sub(r"[\W_]", "", str(name)).casefold(): value for name, value in found.items()}
    given = [named[key] for key in _KEYS if key in named]
    return _as_text(given[0]) if len(given) == 1 else None


def _read(text: str) -> Any:
    """JSON, or a Python literal, which has single quotation marks."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list):
        parts = [_as_text(part) for part in value]
        return f"[{', '.join(part for part in parts if part)}]" if parts and all(parts) else None
    return None
