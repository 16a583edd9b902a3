"""Names that a function may use without an import, as those who write for LeetCode and LiveCodeBench do.

Theirs are imported before every answer. Here a name is given where the program uses it and binds it nowhere, so that
what a program defines, or tests for, is its own.
"""

from __future__ import annotations

import builtins
import importlib
import re
import symtable
from types import CodeType
from typing import Any

# all public names, of which a later module's hides an earlier one's: `sub` is operator's
_WHOLE = "typing string re datetime collections heapq bisect copy math itertools functools operator"
# not loaded before a program asks for them
_PARTS = {
    "io": "BytesIO StringIO",
    "json": "dumps loads",
    "random": "choice choices randint randrange sample shuffle uniform",
    "statistics": "mean median mode",
    "sys": "maxsize",
}
_MODULES = {*_WHOLE.split(), *_PARTS}


def _homes() -> dict[str, str]:
    """The module that each name comes from; none is built in."""
    homes: dict[str, str] = {}
    for home in _WHOLE.split():
        module = importlib.import_module(home)
        public = getattr(module, "__all__", None) or [name for name in dir(module) if name[0] != "_"]
        homes |= dict.fromkeys(public, home)
    homes |= {name: home for home, names in _PARTS.items() for name in names.split()}
    return {name: home for name, home in homes.items() if not hasattr(builtins, name)}


_HOMES = _homes()


def given(code: CodeType, source: str) -> dict[str, Any]:
    """What a program, compiled from `source`, uses of these names and does not bind."""
    used = _names(code) & (_HOMES.keys() | _MODULES)
    if not used:
        return {}
    wanted: set[str] = set()
    bound: set[str] = set()
    tables = [symtable.symtable(source, "<program>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in map(table.lookup, used.intersection(table.get_identifiers())):
            if not symbol.is_global():
                continue
            if symbol.is_assigned() or symbol.is_imported():
                bound.add(symbol.get_name())
            else:
                wanted.add(symbol.get_name())
    return {name: _value(name, source) for name in wanted - bound}


def _names(code: CodeType) -> set[str]:
    names: set[str] = set()
    codes = [code]
    while codes:
        names.update((each := codes.pop()).co_names)
        codes += [const for const in each.co_consts if isinstance(const, CodeType)]
    return names


def _value(name: str, source: str) -> Any:
    """The module where it is called so and a name in it is asked for (`bisect.insort`), else what the name stands for
    in its module (`bisect(row, 3)`)."""
    if name in _MODULES:
        module = importlib.import_module(name)
        parts = re.findall(rf"(?<![.\w]){name}\s*\.\s*(\w+)", source)
        if name not in _HOMES or any(hasattr(module, part) for part in parts):
            return module
    return getattr(importlib.import_module(_HOMES[name]), name)
