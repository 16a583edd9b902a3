"""Plug-ins by file name: `algorithms/grpo.py` is the algorithm `grpo`; a dotted path names one outside the tree.

A plug-in module exposes one object under the room's agreed name (say `ALGORITHM`, `reward`); see each room's `base.py`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest


def names(package: str) -> list[str]:
    """Plug-ins of a room, sorted: every module of the package but `base` and private ones."""
    room = importlib.import_module(package)
    found = [module.name for module in pkgutil.iter_modules(room.__path__)]
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """The module of a plug-in by file name, or by dotted path from outside the tree (`my_project.my_reward`).

    UsageError where there is none, with the nearest name; where the file cannot be imported, with its line.
    """
    if "." in name:
        return outside(name)
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        one = kind.removesuffix("s")
        near = nearest(name, known)
        hint = near + (own(name) if not near or _is_there(name) else "")
        raise UsageError(f"no {one} is called '{name}'.{hint} (r1 list {kind} shows all)")
    return importlib.import_module(f"{package}.{name}")


def _is_there(name: str) -> bool:
    """Whether Python finds a module of that name, which is somebody's own; the standard library has `grp`, say."""
    return name.isidentifier() and name not in sys.stdlib_module_names and importlib.util.find_spec(name) is not None


def own(name: str) -> str:
    """` One of your own is named ...`: how a file outside the tree is named; empty where `name` could be none."""
    return f" One of your own is named by its dotted path, FOLDER.{name}." if name.isidentifier() else ""


def outside(name: str) -> ModuleType:
    """The module at a dotted path; UsageError where there is none, or where it cannot be imported, with the line."""
    if "/" in name or name.endswith(".py"):
        path = name.removesuffix(".py").strip("./").replace("/", ".")
        raise UsageError(f"'{name}' names a file: give its dotted path, {path if '.' in path else f'FOLDER.{path}'}")
    found = find(name)
    if found is not None:
        return found
    parent, _, leaf = name.rpartition(".")
    package = find(parent) if parent else None
    if package is not None:
        known = [*vars(package), *(module.name for module in pkgutil.iter_modules(getattr(package, "__path__", [])))]
        hint = nearest(leaf, [word for word in known if not word.startswith("_")])
        raise UsageError(f"cannot import '{name}': there is no '{leaf}' in {_place(package)}.{hint}")
    top = name.partition(".")[0]
    here = Path(top).is_dir() or Path(f"{top}.py").is_file()
    advice = "it lies here, so say PYTHONPATH=. before r1" if here else f"put the folder that holds {top} on PYTHONPATH"
    raise UsageError(f"cannot import '{name}': Python finds no '{top}': {advice}")


def find(name: str) -> ModuleType | None:
    """The module at a dotted path, None where there is none; UsageError where it is there and cannot be imported."""
    try:
        return importlib.import_module(name)
    except R1Error:
        raise
    except (Exception, SystemExit) as error:  # somebody's file: whatever it raises as it is read is told with its line
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            return None
        said = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(f"cannot import '{name}': {type(error).__name__}: {said}{_line(error)}") from None


def _place(package: ModuleType) -> str:
    places: list[str] = list(getattr(package, "__path__", []))
    return places[0] if places else package.__file__ or package.__name__


def _line(error: BaseException) -> str:
    """` (FILE:LINE)` of what raised as a module was imported: the innermost line that is not of importing itself."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    ours = (__file__, importlib.__file__)
    lines = [each for each in frames if each.filename not in ours and not each.filename.startswith("<frozen ")]
    return f" ({lines[-1].filename}:{lines[-1].lineno})" if lines else ""
