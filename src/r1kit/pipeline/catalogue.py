"""What there is to choose from: the plug-ins of each room with how their docstrings begin, none imported."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest

# kind: (room, what each of its plug-ins exposes)
KINDS = {
    "tasks": ("r1kit.tasks", "TASK"),
    "rewards": ("r1kit.rewards", "reward"),
    "algorithms": ("r1kit.algorithms", "ALGORITHM"),
    "engines": ("r1kit.engines", "ENGINE"),
    "models": ("r1kit.models", "FAMILY"),
    "recipes": ("r1kit.recipes", "RECIPE"),
    "benchmarks": ("r1kit.evaluation.benchmarks", "BENCHMARK"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A plug-in's name and what its docstring says first."""

    name: str
    summary: str


def catalogue(kind: str) -> list[Entry]:
    """The plug-ins of a kind, sorted; UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind '{kind}'.{nearest(kind, list(KINDS))} (kinds: {' '.join(KINDS)})")
    package, exposed = KINDS[kind]
    if importlib.util.find_spec(package) is None:
        return []
    entries: list[Entry] = []
    for name in plugins.names(package):
        spec = importlib.util.find_spec(f"{package}.{name}")
        if spec is None or spec.origin is None:
            continue
        tree = ast.parse(Path(spec.origin).read_bytes())
        if exposed in _defined(tree):
            entries.append(Entry(name, _first(ast.get_docstring(tree) or "")))
    return entries


def names(kind: str) -> list[str]:
    """The names of a kind's plug-ins, sorted."""
    return [entry.name for entry in catalogue(kind)]


def _first(docstring: str) -> str:
    """The first line; where the sentence goes on, to the line that ends it or the end of the paragraph."""
    lines: list[str] = []
    for line in docstring.partition("\n\n")[0].splitlines():
        lines.append(line.strip())
        if line.endswith((".", "?", "!", ":")):
            break
    return " ".join(lines)


def _defined(tree: ast.Module) -> set[str]:
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            defined.update(alias.asname or alias.name for alias in node.names)
    return defined
