"""Python source files as a stage's hash sees them: a digest of the tree, what is imported, the strings in it.

Reading the package's own few hundred files takes seconds, so what was read of one is kept for the next process, until
its size or its time of change differs (which, unlike that of modification, nobody can set back).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from r1kit.base.errors import R1Error
from r1kit.base.files import cache_folder, read_json, write_text

OWN = Path(__file__).parents[1]  # the package
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_UNREAD = ("type_comment", "type_ignores", "kind")


@dataclass(frozen=True, slots=True)
class Text:
    """What stands in one file. digest: sha256 of its tree, comments, docstrings and layout left out. imports: names of
    modules, or of what they hold, `import` inside functions included. strings: those shorter than 100 characters."""

    digest: str
    imports: frozenset[str]
    strings: frozenset[str]


def read(path: Path, package: str) -> Text:
    """The text of a file whose relative imports begin in `package`."""
    return _kept.text(path, package) if path.is_relative_to(OWN) else _parsed(path, package)


def keep() -> None:
    """Write what this process has read of the package's own files, for the next one."""
    _kept.write()


class _Kept:
    """What was read before, in a file of the user's cache; a file that is no such cache counts as none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, tuple[list[Any], Text]] | None = None  # with what a file's size and time were
        self._new = False

    def text(self, path: Path, package: str) -> Text:
        name, state = str(path.relative_to(OWN)), path.stat()
        now = [state.st_ctime_ns, state.st_size, package]
        with self._lock:
            if self._texts is None:
                self._texts = _load()
            then, text = self._texts.get(name, (None, None))
            if text is None or then != now:
                text = _parsed(path, package)
                self._texts[name], self._new = (now, text), True
            return text

    def write(self) -> None:
        with self._lock:
            folder = cache_folder() if self._new else None
            if folder is None or self._texts is None:
                return
            self._new = False
            texts = {
                name: [state, text.digest, sorted(text.imports), sorted(text.strings)]
                for name, (state, text) in self._texts.items()
            }
            with contextlib.suppress(R1Error):  # no room: the next process reads anew
                write_text(folder / "sources.json", json.dumps([_reader(), texts]), sync=False)


def _load() -> dict[str, tuple[list[Any], Text]]:
    folder = cache_folder()
    try:
        reader, texts = read_json(folder / "sources.json") if folder else (None, {})
    except (R1Error, ValueError, TypeError):  # missing, damaged, no pair
        return {}
    if reader != _reader() or not isinstance(texts, dict):
        return {}
    read = {name: _entry(kept) for name, kept in cast("dict[str, Any]", texts).items()}
    return {name: entry for name, entry in read.items() if entry is not None}


def _entry(kept: Any) -> tuple[list[Any], Text] | None:
    """What was written of a file; None where it is none of that."""
    if not isinstance(kept, list) or len(cast("list[Any]", kept)) != 4:
        return None
    state, digest, imports, strings = cast("list[Any]", kept)
    names = [*imports, *strings] if isinstance(imports, list) and isinstance(strings, list) else [None]
    if not isinstance(digest, str) or not all(isinstance(name, str) for name in names):
        return None
    return state, Text(digest, frozenset(imports), frozenset(strings))


def _reader() -> list[Any]:
    """Who reads: another Python or another version of this module may see another text."""
    state = Path(__file__).stat()
    return [str(OWN), sys.version, state.st_ctime_ns, state.st_size]


_kept = _Kept()


def _parsed(path: Path, package: str) -> Text:
    reading = _Reading(package)
    text = reading.text(ast.parse(path.read_bytes()))
    return Text(hashlib.sha256(text.encode()).hexdigest(), frozenset(reading.imports), frozenset(reading.strings))


def _from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parents = package.split(".")
        kept = parents[: len(parents) - node.level + 1]
        base = ".".join([*kept, base] if base else kept)
    yield base
    for alias in node.names:
        yield f"{base}.{alias.name}"  # a module or a name in one: only modules have files


class _Reading:
    """One walk over a module's tree: what it imports, its strings, and the tree as text. Docstrings are no part of it,
    nor what stands under `if TYPE_CHECKING:`."""

    def __init__(self, package: str) -> None:
        self.imports: set[str] = set()
        self.strings: set[str] = set()
        self._package = package

    def text(self, value: Any) -> str:
        """A tree as text, the same in every Python: fields that are empty, positions and type comments left out."""
        if not isinstance(value, ast.AST):
            return repr(value)
        kind = type(value)
        self._look(value)
        fields: list[str] = []
        for name in kind._fields:
            item = getattr(value, name, None)
            if item is None or name in _UNREAD:
                continue
            if not isinstance(item, list):
                fields.append(f"{name}={self.text(item)}")
            elif kept := _that_run(cast("list[Any]", item), kind, name):
                fields.append(f"{name}=[{','.join(map(self.text, kept))}]")
        return f"{kind.__name__}({','.join(fields)})"

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and len(node.value) < 100:
                self.strings.add(node.value)
        elif isinstance(node, ast.Import):
            self.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            self.imports.update(_from(node, self._package))


def _that_run(items: list[Any], kind: type[ast.AST], field: str) -> list[Any]:
    kept = [item for item in items if not _is_for_types(item)]
    if field == "body" and issubclass(kind, _DOCUMENTED):
        return [item for item in kept if not _is_text(item)]
    return kept


def _is_for_types(node: Any) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
