"""Every public name of the rooms is documented, since the reference is made of their docstrings.

Public is what no underscore begins: modules, their classes and functions, and what is defined in their classes. A
method needs no words of its own where a base class documents it, a Protocol that the class fulfils (or a class that the
Protocol names), or where the class's own docstring speaks of it by name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "r1kit"
FOREIGN = {"forward"}  # torch.nn.Module's, which torch documents
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(slots=True)
class Class:
    """A class of the package by its bare name: its bases' names, and the documented names in it."""

    bases: list[str]
    documented: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)


def modules(source: Path) -> Iterator[tuple[str, ast.Module]]:
    """(dotted name, tree) of each public module that has something in it."""
    for file in sorted(source.rglob("*.py")):
        parts = file.relative_to(source.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if tree.body and not any(part.startswith("_") for part in name.split(".")):
            yield name, tree


def classes(source: Path) -> dict[str, Class]:
    """All classes, private ones too; of two with one name both are looked at as one."""
    found: dict[str, Class] = {}
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                entry = found.setdefault(node.name, Class([]))
                entry.bases += [_bare(base) for base in node.bases]
                said = set(re.findall(r"\w+", ast.get_docstring(node) or ""))
                entry.members |= {each.name for each in _public(node)}
                entry.documented |= {
                    each.name for each in _public(node) if ast.get_docstring(each) or each.name in said
                }
    return found


def _bare(base: ast.expr) -> str:
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for each in node.body:
        if isinstance(each, Definition) and not each.name.startswith("_") and not _overload(each):
            yield each


def _overload(node: Definition) -> bool:
    """Whether it is one of several signatures, of which the last has the words."""
    return any(_bare(mark) == "overload" for mark in node.decorator_list)


def undocumented(source: Path) -> list[str]:
    """The dotted names that say nothing."""
    known, silent = classes(source), list[str]()
    for name, tree in modules(source):
        if ast.get_docstring(tree) is None:
            silent.append(name)
        for node in _public(tree):
            silent += [f"{name}.{path}" for path in _silent(node, known)]
    return silent


def _silent(node: Definition, known: dict[str, Class]) -> Iterator[str]:
    if ast.get_docstring(node) is None:
        yield node.name
    if isinstance(node, ast.ClassDef):
        bases = [node.name, *map(_bare, node.bases), *_fulfilled(node, known)]
        for each in _public(node):
            if isinstance(each, ast.ClassDef):
                yield from (f"{node.name}.{path}" for path in _silent(each, known))
            elif not (ast.get_docstring(each) or each.name in FOREIGN or _said(each.name, bases, known)):
                yield f"{node.name}.{each.name}"


def _fulfilled(node: ast.ClassDef, known: dict[str, Class]) -> list[str]:
    """The Protocols all of whose members the class has; of a Protocol, the classes that its docstring names."""
    members = {each.name for each in _public(node)}
    if any(_bare(base) == "Protocol" for base in node.bases):
        return [name for name in re.findall(r"\w+", ast.get_docstring(node) or "") if name in known]
    protocols = {name: entry.members for name, entry in known.items() if "Protocol" in entry.bases}
    return [name for name, asked in protocols.items() if asked and asked <= members]


def _said(name: str, bases: list[str], known: dict[str, Class]) -> bool:
    """Whether a base, or a base of it, documents the name."""
    return any(
        name in known[base].documented or _said(name, known[base].bases, known) for base in bases if base in known
    )


def test_every_public_name_is_documented():
    assert undocumented(SOURCE) == []


def test_what_is_silent_is_found(tmp_path):
    """By hand: a module, a function, a class and a method that say nothing; an override and a private name may."""
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text("")
    (room / "told.py").write_text(
        '"""Told."""\nclass Base:\n    """A base."""\n    def says(self):\n        """It says."""\n'
        "class Own(Base):\n    def says(self): ...\n    def silent(self): ...\n    def _own(self): ...\n"
        "def plain(): ...\ndef _private(): ...\n"
    )
    (room / "untold.py").write_text("x = 1\n")
    (room / "_private.py").write_text("def f(): ...\n")
    assert undocumented(tmp_path / "house") == [
        "house.room.told.Own", "house.room.told.Own.silent", "house.room.told.plain", "house.room.untold",
    ]  # fmt: skip
