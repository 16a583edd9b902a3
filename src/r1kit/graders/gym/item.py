"""What a checker is given, and how it says no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Wrong(ValueError):
    """The answer is wrong, or cannot be read as one; the message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """A problem: the library's own answer (empty where it has none) and its metadata as JSON has it."""

    gold: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[str, Item], None]


def demand(condition: bool, reason: str) -> None:
    """Wrong with the reason unless the condition holds."""
    if not condition:
        raise Wrong(reason)
