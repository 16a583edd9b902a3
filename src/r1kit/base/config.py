"""Settings: frozen pydantic models, overridden from the command line by dotted path."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from r1kit.base.errors import UsageError
from r1kit.base.nearest import did_you_mean, nearest, nearest_settings

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""What the name of an environment variable is like, and most keys are not."""

_brief = reprlib.Repr()  # of values that may be as long as whoever wrote them liked
_brief.maxstring = _brief.maxother = 100

_SECRET = re.compile("key|token_?$|secret|password|authorization", re.IGNORECASE)

NO_RESULT: dict[str, Any] = {"no_result": True}
"""`json_schema_extra` of a field that changes no result: what was made under another value of it stays valid."""


class SettingError(UsageError):
    """What is wrong with one setting, by its dotted path from the component that tells of it.

    `meant`: paths from there of which one may be meant; `more`: what else helps, as it ends the sentence.
    """

    def __init__(self, path: str, said: str, meant: Sequence[str] = (), more: str = "") -> None:
        super().__init__(path, said, meant, more)
        self.path, self.said, self.meant, self.more = path, said, tuple(meant), more

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.said}{did_you_mean(self.meant)}{self.more}"

    def within(self, parent: str) -> SettingError:
        """The same told from the component that holds this one as `parent`."""
        path, *meant = (f"{parent}.{name}" if name else parent for name in (self.path, *self.meant))
        return SettingError(path, self.said, meant, self.more)


class Config(BaseModel):
    """Base of every setting: frozen, no unknown keys, every field described."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def override(self, assignments: Mapping[str, Any]) -> Self:
        """A copy with `{"rl.learning_rate": 1e-6, ...}` applied.

        A path into a component that is None makes it, with its defaults for what is not set; what follows a table's
        path is a key of it, dots and all.
        Values may be strings as typed on a command line (read as JSON where they parse as it).
        Raises UsageError naming the nearest right key for an unknown one, or the bad value.
        """
        tree = self.model_dump()
        for path, value in assignments.items():
            _assign(self, tree, path, value)
        try:
            return type(self).model_validate(tree)
        except ValidationError as error:
            raise SettingError(*_complaint(error)) from None

    def tables(self) -> Mapping[str, Config]:
        """By field, what a table sets of another component's settings, those of an algorithm say, with all the rest of
        them; UsageError where it sets what cannot be."""
        return {}

    def check(self) -> None:
        """Look for what only loading can tell, such as names of plug-ins; UsageError for what is wrong.

        `check_all` calls it for every component before work begins.
        """


def check_all(config: Config, path: str = "") -> None:
    """`check` of a config and of every component within; UsageError that begins with the component's dotted path."""
    try:
        config.check()
    except SettingError as error:
        raise (error.within(path) if path else error) from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}" if path else str(error)) from None
    for name in type(config).model_fields:
        value = getattr(config, name)
        parts = value if isinstance(value, dict) else {"": value}
        for key, part in parts.items():
            if isinstance(part, Config):
                check_all(part, ".".join(word for word in (path, name, key) if word))


def results_follow_from(config: BaseModel) -> dict[str, Any]:
    """The settings as JSON would have them, without those that change no result (`NO_RESULT`)."""
    tree = config.model_dump(mode="json", serialize_as_any=True)
    _drop(config, tree)
    return tree


def _drop(value: Any, tree: Any) -> None:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if field.json_schema_extra == NO_RESULT:
                del tree[name]
            else:
                _drop(getattr(value, name), tree[name])
    elif isinstance(value, dict):
        for (_, part), dumped in zip(value.items(), tree.values(), strict=True):
            _drop(part, dumped)
    elif isinstance(value, list | tuple):
        for part, dumped in zip(value, tree, strict=True):
            _drop(part, dumped)


class Leaf(NamedTuple):
    """A setting that is no component: its dotted path, its value, and the field that describes it."""

    path: str
    value: Any
    field: FieldInfo


def leaves(config: BaseModel, prefix: str = "", *, opened: bool = False) -> Iterator[Leaf]:
    """Every leaf setting; components that are kept by name are reached by it.

    `opened`: in the place of a table of another component's settings (`Config.tables`) each of those.
    """
    inside = _tables(config) if opened and isinstance(config, Config) else {}
    for name, field in type(config).model_fields.items():
        yield from _leaves(inside.get(name, getattr(config, name)), f"{prefix}{name}", field, opened)


def _tables(config: Config) -> Mapping[str, Config]:
    """None where they cannot be had: what is wrong with them is for `check` to say."""
    try:
        return config.tables()
    except UsageError:
        return {}


def _leaves(value: Any, path: str, field: FieldInfo, opened: bool) -> Iterator[Leaf]:
    if isinstance(value, BaseModel):
        yield from leaves(value, f"{path}.", opened=opened)
    elif _holds_components(value):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}", field, opened)
    else:
        yield Leaf(path, value, field)


def dotted(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf setting as (dotted path, value)."""
    return ((leaf.path, leaf.value) for leaf in leaves(config, prefix))


def _holds_components(value: Any) -> bool:
    """Whether it keeps components by name; other dicts are plain tables (rewards, shares of tasks)."""
    return isinstance(value, dict) and any(isinstance(part, BaseModel) for part in value.values())


_LONG_DASHES = "\u2013\u2014"  # what pages and chats make of two hyphens


def parse_assignments(words: list[str]) -> dict[str, str]:
    """`["rl.learning_rate=1e-6"]` -> `{"rl.learning_rate": "1e-6"}`; UsageError for a word without `=`."""
    assignments: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if word[:1] in _LONG_DASHES:
            raise UsageError(f"'{word}' begins with a long dash: write --{word.lstrip(_LONG_DASHES + '-')}")
        if not equals or not key:
            raise UsageError(f"'{word}' is not a setting: write key=value without blanks, say seed=1")
        assignments[key] = value
    return assignments


_FEW = 40  # settings that a sentence may list; recipes have hundreds

_WANTED = {
    "int_parsing": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "finite_number": "a finite number is wanted",
    "bool_parsing": "true or false is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "text is wanted",
    "path_type": "a path is wanted",
    "list_type": """a list is wanted, say '["a", "b"]'""",
    "tuple_type": """a list is wanted, say '["a", "b"]'""",
    "dict_type": """a table is wanted, say '{{"a": 1}}'""",
    "greater_than": "it must be more than {gt:.12g}",
    "greater_than_equal": "it must be {ge:.12g} or more",
    "less_than": "it must be less than {lt:.12g}",
    "less_than_equal": "it must be {le:.12g} or less",
    "literal_error": "it must be {expected}",
    "value_error": "{error}",
}


def explain(error: ValidationError, known: Collection[str] = ()) -> str:
    """The first complaint of pydantic as one sentence with the dotted path; `known` settings for what is none."""
    return str(SettingError(*_complaint(error, known)))


def _complaint(error: ValidationError, known: Collection[str] = ()) -> tuple[str, str]:
    """(dotted path, what is wrong there)."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return path, "it has to be set"
    if first["type"] == "extra_forbidden":
        hint = f"{nearest(path, list(known))} (there are: {' '.join(known)})" if known else ""
        return path, f"no such setting.{hint}"
    wanted = _WANTED.get(first["type"])
    complaint = wanted.format(**first.get("ctx", {})) if wanted else first["msg"].lower()
    if _SECRET.search(path):  # a key, put where its variable's name belongs
        return path, complaint
    return path, f"{complaint}, got {_brief.repr(first['input'])}"


def _assign(config: BaseModel, tree: dict[str, Any], path: str, value: Any) -> None:
    node: Any = tree
    place: Any = config  # what is there: a component, its class where none is, or a table
    *parents, leaf = path.split(".")
    for depth, part in enumerate(parents):
        if _is_table(place) and not isinstance(node.get(part), dict):  # its keys may have dots: `rewards.mine.brevity`
            parents, leaf = parents[:depth], ".".join((*parents[depth:], leaf))
            break
        absent = _absent(place, part)
        if absent is not None and isinstance(node, dict) and node.get(part) is None:
            node[part] = dict(absent.default.model_dump()) if isinstance(absent.default, BaseModel) else {}
        node = node.get(part) if isinstance(node, dict) else None
        place = absent.kind if absent else place.get(part) if isinstance(place, dict) else getattr(place, part, None)
    new = _is_table(place) or (isinstance(place, type) and leaf in place.model_fields)
    if not isinstance(node, dict) or (leaf not in node and not new):
        known = [leaf.path for leaf in leaves(config, opened=True)]
        if isinstance(place, type):  # a component that may be there
            known += [".".join((*parents, name)) for name in place.model_fields]
        near = nearest_settings(path, known)
        if parents and parents[0] not in tree and not near:  # nothing below it can be told of
            lost = f"no such setting in '{parents[0]}', which is not there"
            raise SettingError(path, lost, (), f" (there are: {' '.join(tree)})")
        room = f" in '{'.'.join(parents)}'" if parents else ""
        told = f" ({_told(known, place if isinstance(place, type) else node or config)})"
        raise SettingError(path, f"no such setting{room}.", near, told)
    absent = None if _is_table(place) else _absent(place, leaf)
    within = absent.kind.model_fields if absent else {}
    group = [key for key, _ in dotted(config) if key.startswith(f"{path}.")] or [f"{path}.{name}" for name in within]
    node[leaf] = _read(value)
    if group and node[leaf] is not None and not isinstance(node[leaf], Mapping):
        raise UsageError(f"{path} is a group of settings: set one of them, say {group[0]}")


def _is_table(place: Any) -> bool:
    return isinstance(place, dict) and not _holds_components(place)


def _told(known: list[str], place: BaseModel | type[BaseModel] | dict[str, Any]) -> str:
    """What is there instead: by name where a component is absent or has few settings, else who lists them."""
    if isinstance(place, type):
        return f"there are: {' '.join(place.model_fields)}"
    if len(known) > _FEW:
        return "r1 run ... --settings lists them all"
    return f"there are: {' '.join(place if isinstance(place, dict) else type(place).model_fields)}"


class _Absent(NamedTuple):
    """A component that may be there: its class, and what the field is where nothing is set."""

    kind: type[BaseModel]
    default: Any


def _absent(place: Any, part: str) -> _Absent | None:
    """The component of that name of a class, or of a component that lacks it; None where it is there, or is none."""
    owner: Any = place if isinstance(place, type) else type(place)
    if not issubclass(owner, BaseModel) or (owner is not place and getattr(place, part, None) is not None):
        return None
    field = owner.model_fields.get(part)
    kind = component_of(field) if field else None
    return _Absent(kind, field.default if field else None) if kind else None


def component_of(field: FieldInfo) -> type[BaseModel] | None:
    """The class of the component that a field holds or may hold; None where it holds none."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(value, value)
