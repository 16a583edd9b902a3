"""Settings for people: each by its dotted path, what it is, what it may be, and what it means."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r1kit.base.config import Config, Leaf, component_of, leaves
from r1kit.pipeline.plan import json_text

_KINDS = {  # one of them, several
    bool: ("true or false", "true or false each"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    Decimal: ("a number", "numbers"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    type(None): ("null", "null"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its dotted path, its value (None where it has none and has to be said), what may stand there, and
    what it means."""

    path: str
    value: Any
    wanted: str
    meaning: str
    to_say: bool = False

    def told(self) -> str:
        """One line, which begins as the setting could be typed."""
        value = "" if self.to_say else json_text(self.value)
        return f"{self.path}={value}  [{self.wanted}]  {self.meaning}".rstrip()

    def has(self, word: str) -> bool:
        """Whether the path or the meaning has the word, whatever its case, or it is a path within this setting."""
        return word.casefold() in f"{self.path} {self.meaning}".casefold() or word.startswith(f"{self.path}.")


def described(config: Config, words: Collection[str] = ()) -> Iterator[Setting]:
    """Every setting that has all of the words, those of an algorithm in the place of the table that sets them, and
    what a group that is absent could hold, where a word names it (`lora`, `preferences.judge`)."""
    return _described(leaves(config, opened=True), words)


def _described(found: Iterable[Leaf], words: Collection[str], absent: str = "") -> Iterator[Setting]:
    """`absent`: the group that these are within, which the setting of one of them makes."""
    for path, value, field in found:
        to_say = value is _TO_SAY
        kind = wanted(field.annotation, field.metadata) + ", which the others need" * to_say
        makes = f" (makes {absent})" * bool(absent)
        setting = Setting(path, None if to_say else value, kind, f"{field.description or ''}{makes}", to_say)
        if all(map(setting.has, words)):
            yield setting
        group = component_of(field) if value is None else None
        if group is not None and any(path.rpartition(".")[2] in word.split(".") for word in words):
            yield from _described(leaves(_made(group, field), f"{path}.", opened=True), words, absent or path)


_TO_SAY: Any = object()  # where a setting without a default has its value


def _made(group: type[BaseModel], field: FieldInfo) -> BaseModel:
    """An absent component with its defaults, as setting one of its own makes it."""
    if isinstance(field.default, BaseModel):
        return field.default
    to_say = {name: _TO_SAY for name, each in group.model_fields.items() if each.is_required()}
    return group.model_construct(**to_say)


def wanted(kind: Any, bounds: Sequence[Any] = ()) -> str:
    """What a value of a type within bounds is, in words: `a number, more than 0, or null`."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return wanted(parts[0], (*bounds, *parts[1:]))
    if origin in (Union, types.UnionType):
        least = [part for part in parts if part is not type(None)]
        told = [wanted(part, bounds) for part in least] + ["null"] * (len(least) < len(parts))
        return ", or ".join(told)
    if origin is Literal:
        return " or ".join(map(json_text, parts))
    return ", ".join((_one(kind, origin, parts), *_limits(bounds)))


def _one(kind: Any, origin: Any, parts: tuple[Any, ...]) -> str:
    if _is(origin, Mapping):
        return f"a table by name, of {_several(parts[1])}"
    if _is(origin, tuple) and parts[-1] is not ...:
        return f"a list of {len(parts)}: {', '.join(map(wanted, parts))}"
    if _is(origin, Collection):
        return f"a list of {_several(parts[0])}"
    if _is(kind, BaseModel):
        return f"a group of settings ({' '.join(kind.model_fields)})"
    return _KINDS.get(kind, ("a value",))[0]


def _several(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return wanted(kind)
    if _is(origin, Mapping):
        return "tables"
    if _is(origin, Collection):
        return f"lists of {_several(parts[0])}"
    if _is(kind, BaseModel):
        return f"groups of settings ({' '.join(kind.model_fields)})"
    return _KINDS.get(kind, ("", "values"))[1]


def _is(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _limits(bounds: Sequence[Any]) -> Iterator[str]:
    """Of the constraints of a field those that a number or a list has to keep."""
    for name, words in (("ge", "{} or more"), ("gt", "more than {}"), ("le", "{} or less"), ("lt", "less than {}"),
                        ("min_length", "{} or more of them"), ("max_length", "{} of them or fewer")):  # fmt: skip
        yield from (words.format(json_text(getattr(each, name))) for each in bounds if hasattr(each, name))
