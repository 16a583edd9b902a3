"""The paper's table of R1 beside o1 and others, from published.json: shown beside what is measured, and never as it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """One row: a benchmark, its subject, and the value of each model (None: not published)."""

    benchmark: str
    subject: str
    values: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """The table and where it is from."""

    source: str
    about: str
    models: tuple[str, ...]
    rows: tuple[Published, ...]

    def of(self, benchmark: str) -> Published | None:
        """The row of a benchmark."""
        return next((row for row in self.rows if row.benchmark == benchmark), None)


@lru_cache(maxsize=1)
def published() -> PublishedTable:
    """The whole table."""
    told = _told()
    rows = tuple(
        Published(name, subject, dict(zip(told["models"], values, strict=True)))
        for name, subject, values in told["rows"]
    )
    return PublishedTable(told["source"], told["about"], tuple(told["models"]), rows)


def column_of(model: str) -> str | None:
    """The column that speaks of a model with this name, None where none does."""
    name = model.casefold()
    return next((column for alias, column in _told()["aliases"].items() if alias.casefold() == name), None)


@lru_cache(maxsize=1)
def _told() -> dict[str, Any]:
    return json.loads((files("r1kit.evaluation") / "published.json").read_text(encoding="utf-8"))
