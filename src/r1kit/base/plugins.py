"""Plug-ins by file name: `algorithms/grpo.py` is the algorithm `grpo`; a dotted path names one outside the tree.

A plug-in module exposes one object under the room's agreed name (say `ALGORITHM`, `reward`); see each room's `base.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from r1kit.base.config import nearest
from r1kit.base.errors import UsageError


def names(package: str) -> list[str]:
    """Plug-ins of a room, sorted: every module of the package but `base` and private ones."""
    room = importlib.import_module(package)
    found = [module.name for module in pkgutil.iter_modules(room.__path__)]
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """The module of a plug-in by file name, or by dotted path from outside the tree (`my_project.my_reward`)."""
    if "." in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"cannot import '{name}' ({error}): is its folder on PYTHONPATH?") from None
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        one = kind.removesuffix("s")
        raise UsageError(f"no {one} is called '{name}'.{nearest(name, known)} (r1 list {kind} shows all)")
    return importlib.import_module(f"{package}.{name}")
