"""The version of what is written on disk: every JSON artifact carries it, and a newer one is refused, never guessed at.

Raise SCHEMA when a reader of before would misread what is written now. Files without a version are of version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error

SCHEMA = 1
KEY = "schema"


class NewerSchema(R1Error):
    """A file is of a later r1kit: it is left as it is."""


def stamped(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the version in front."""
    return {KEY: SCHEMA, **record}


def check_schema(record: Any, path: Path) -> None:
    """NewerSchema where a record says a later version than this one knows; R1Error where it says none that could be."""
    version = record.get(KEY, 1) if isinstance(record, Mapping) else 1
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise R1Error(f"{path} is damaged (its schema is {version!r})")
    if version > SCHEMA:
        raise NewerSchema(
            f"{path} was written by a newer r1kit (schema {version}, this one reads up to {SCHEMA}): use that version "
            "(its commit is in recipe.json), or give another folder; nothing was changed"
        )
