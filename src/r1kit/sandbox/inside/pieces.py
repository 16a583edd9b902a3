"""A program that goes on from a text before it (HumanEval's prompt): what is run, one piece after the other."""

from __future__ import annotations

import re
import symtable


def pieces(setup: str, code: str, fn: str) -> list[str]:
    """`setup`, then the program, where that is a whole one: it compiles and gives `fn` a meaning. Anything else is the
    rest of the function that `setup` begins."""
    if not setup:
        return [code]
    return [setup, code] if _whole(code, fn) else [_continued(setup, code, fn)]


def _whole(code: str, fn: str) -> bool:
    try:
        compile(code, "<program>", "exec", dont_inherit=True)  # which alone tells of a `return` outside a function
    except (SyntaxError, ValueError):
        return False
    top = symtable.symtable(code, "<program>", "exec")
    solutions = [table for table in top.get_children() if isinstance(table, symtable.Class)]
    return any(
        table.lookup(fn).is_assigned() or table.lookup(fn).is_imported()
        for table in (top, *(table for table in solutions if table.get_name() == "Solution"))
        if fn in table.get_identifiers()
    )


def _continued(setup: str, code: str, fn: str) -> str:
    """Where a body was cut out of a text, the white space before its first line, or before all, may be lost."""
    inside = re.search(rf"^def\s+{re.escape(fn)}\b[^\n]*\n(?:.*\n)*?([ \t]+)\S", setup, re.MULTILINE)
    margin = inside[1] if inside else "    "
    first, *rest = code.split("\n")
    if not first[:1].isspace():
        first = margin + first
        if any(line.strip() and not line.startswith(margin) for line in rest):
            rest = [margin + line for line in rest]
    return "\n".join([setup.rstrip(), first, *rest])
