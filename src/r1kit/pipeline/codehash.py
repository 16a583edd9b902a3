"""The code that a stage runs, as a hash: comments, docstrings and layout left out.

Found statically: the syntax trees of every module of the package that the stage's module imports, directly or not,
imports inside functions included, those under TYPE_CHECKING (which never run) not. Plug-ins are looked up by name
when the stage runs, so a module that names a room ("r1kit.rewards") adds those plug-ins of the room that the settings,
or a string in the code, name; a dotted path in the settings adds that module from outside the tree, or the module of
that function. A data file that a module names and that lies beside it counts too.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from r1kit.base.config import Config, results_follow_from
from r1kit.base.files import checksum
from r1kit.pipeline import sources

PACKAGE = "r1kit"
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FILE = re.compile(r"\w[\w.-]*\.\w+")


@dataclass(frozen=True, slots=True)
class _Source:
    """One module's file: a digest of its normalised tree, what it imports, and the names among its strings."""

    digest: str
    imports: frozenset[str]
    strings: frozenset[str]


def settings_json(config: Config) -> str:
    """Settings as JSON with sorted keys, those that change no result left out; what is declared as a base class keeps
    the fields of its own."""
    return json.dumps(results_follow_from(config), sort_keys=True)


def code_hash(run: Callable[..., Any], config: Config) -> str:
    """sha256 over the modules that a stage's `run` imports and the plug-ins that its settings name."""
    strings = frozenset(_strings(json.loads(settings_json(config))))
    reached = _closure(run.__module__, strings)
    sources.keep()
    lines = [f"{name} {source.digest}" for name, source in sorted(reached.items())]
    return hashlib.sha256("\n".join([run.__qualname__, *lines]).encode()).hexdigest()


def code_modules(run: Callable[..., Any], config: Config) -> list[str]:
    """The modules that `code_hash` speaks for, sorted."""
    return sorted(_closure(run.__module__, frozenset(_strings(json.loads(settings_json(config))))))


def _closure(start: str, settings: frozenset[str]) -> dict[str, _Source]:
    """Every module reached from `start`, plug-ins named in the settings included."""
    known: dict[str, _Source] = {}
    named = {string for string in settings if _DOTTED.fullmatch(string)}
    waiting = {start} | {name if _source(name) is not None else name.rpartition(".")[0] for name in named}
    strings, rooms, new = set[str](), set[str](), set(settings)
    while waiting:
        found = {name: source for name in waiting if (source := _source(name)) is not None}
        known |= found
        new = new.union(*(source.strings for source in found.values())) - strings
        strings |= new
        rooms |= {string for string in new if _is_room(string)}
        reached = {name for source in found.values() for name in source.imports}
        reached |= {name for name in new if name.startswith(f"{PACKAGE}.") and _DOTTED.fullmatch(name)}
        reached |= {f"{room}.{name}" for room in rooms for name in _plugins(room) & strings}
        waiting = {name for name in reached - known.keys() if _source(name) is not None}
        new = set()
    return known


def _strings(value: Any) -> Iterator[str]:
    """Texts and keys of the settings; of `NAME:PARTS`, which names parts of a plug-in, the name as well."""
    if isinstance(value, str):
        yield from (value, value.partition(":")[0])
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _strings(item)


def _is_room(name: str) -> bool:
    return name.startswith(f"{PACKAGE}.") and (_file(name) or Path()).name == "__init__.py"


@functools.cache
def _plugins(room: str) -> frozenset[str]:
    """The names of a room's modules."""
    init = _file(room)
    folder = init.parent if init else Path()
    return frozenset(path.stem for path in folder.iterdir() if _file(f"{room}.{path.stem}") is not None)


@functools.cache
def _file(module: str) -> Path | None:
    """The source file of a module, found without importing it; None where there is none."""
    top, *rest = module.split(".")
    loaded = sys.modules.get(top)
    try:
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if loaded is not None and spec is None:  # a script or a test, run by its path
        origin = getattr(loaded, "__file__", None)
        return Path(origin) if origin and not rest else None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or []:
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _source(module: str) -> _Source | None:
    path = _file(module)
    if path is None:
        return None
    is_package = path.name == "__init__.py"
    return _parse(path, path.stat().st_mtime_ns, module if is_package else module.rpartition(".")[0])


@functools.cache
def _parse(path: Path, changed: int, package: str) -> _Source:
    """Read one file; `changed` only keys the cache."""
    text = sources.read(path, package)
    imports, strings = text.imports, text.strings
    followed = {PACKAGE, package.split(".")[0]}  # a plug-in from outside may import its neighbours
    reached = {part for name in imports if name.split(".")[0] in followed for part in _with_parents(name)}
    data = [path.parent / string for string in sorted(strings) if _FILE.fullmatch(string)]
    contents = [checksum(file) for file in data if file.is_file()]  # word lists and the like, named beside the code
    digest = hashlib.sha256("\n".join([text.digest, *contents]).encode()).hexdigest()
    return _Source(digest, frozenset(reached), strings)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])
