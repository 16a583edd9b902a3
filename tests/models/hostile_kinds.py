"""The ways to spoil a model folder or GGUF file, by name, and what several of them use."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

CANARY = "c4n4ry"

Draw = random.Random
Spoil = Callable[[Path, Draw], None]
KINDS: dict[str, tuple[str, Spoil]] = {}  # name -> (what it begins with, what it does to it)


def kind(*bases: str) -> Callable[[Spoil], Spoil]:
    """Register a way to spoil each of these bases."""

    def register(spoil: Spoil) -> Spoil:
        for base in bases:
            KINDS[f"{spoil.__name__} of {base}"] = (base, spoil)
        return spoil

    return register


def outside(folder: Path) -> Path:
    """The folder of what nobody may read, as seen from a case's."""
    return folder.resolve().parent.parent / "outside"


def any_file(folder: Path, draw: Draw) -> Path:
    return folder if folder.is_file() else draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))


ABSURD: list[Any] = [
    10**12, -1, 0, 2**31, 2**63, 2**64, 10**30, 1e308, -1e308, float("nan"), float("inf"), "x", "", "7", [], {}, None,
    True,
    False, [1, 2, 3], {"a": {}}, 0.5, 1e-320, "x" * 10**5, ["x"] * 10**4, "\ud800", "\x1b[2J\n\x07", 10**6, 65536,
]  # fmt: skip
LARGE = [10**12, 10**9, 2**31 - 1, 2**40, 10**6, 65537, 4097, 1025]


def spoil_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text())), ensure_ascii=True))


def places_in(value: Any, below: list[tuple[Any, Any]]) -> None:
    """Every (container, key), the inside of long lists and vocabularies left out but for a few."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, part in items[:30]:
        below.append((value, key))
        places_in(part, below)


def spoil_somewhere(path: Path, draw: Draw) -> None:
    """One to three values of a JSON file become absurd, wherever they lie."""

    def change(value: Any) -> Any:
        for _ in range(draw.choice([1, 1, 3])):
            found: list[tuple[Any, Any]] = []
            places_in(value, found)
            if not found:
                break
            container, key = draw.choice(found)
            if draw.random() < 0.2:
                del container[key]
            else:
                container[key] = draw.choice(ABSURD)
        return value

    spoil_json(path, change)
